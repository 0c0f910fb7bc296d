// Calls Personr with the vended token, asked for by a direct invoke with the AWS SDK for Go v2.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
)

const (
	longestCall = 12 * time.Second // the vending function's own timeout is 10 s
	staleCall   = 2 * time.Second  // a token that is still good is not held back for longer
)

type token struct {
	AccessToken  string `json:"access_token"`
	Version      string `json:"version"`
	ExpiresIn    int    `json:"expires_in"`
	CacheSeconds int    `json:"cache_seconds"`
	askedAt      time.Time
}

// By the wall clock: Round takes the monotonic reading off, which stands still while an environment is frozen.
func (t *token) younger(seconds int) bool {
	return t != nil && time.Now().Round(0).Sub(t.askedAt.Round(0)) < time.Duration(seconds)*time.Second
}

func (t *token) String() string { return "token " + t.Version }

// Personr hands out the token and sends requests with it. Safe for goroutines: one asks, the others wait for it.
type Personr struct {
	Lambda   *lambda.Client
	Function string // the stack's output VendFunctionArn
	HTTP     *http.Client
	mutex    sync.Mutex
	held     *token
}

// Token gives a token other than the refused version, within the deadline of ctx.
func (p *Personr) Token(ctx context.Context, refused string) (*token, error) {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	for {
		good := p.held != nil && p.held.Version != refused && p.held.younger(p.held.ExpiresIn)
		if good && p.held.younger(p.held.CacheSeconds) {
			return p.held, nil
		}
		timeout := longestCall
		if good {
			timeout = staleCall
		}
		next, pause, err := p.ask(ctx, refused, timeout)
		if err == nil {
			p.held = next
			return next, nil
		}
		if good {
			return p.held, nil
		}
		if pause == 0 {
			return nil, err
		}
		deadline, ok := ctx.Deadline()
		if ok && time.Now().Add(pause).After(deadline) {
			return nil, err
		}
		select {
		case <-ctx.Done():
			return nil, err
		case <-time.After(pause):
		}
	}
}

// ask gives a token, or an error and after how long asking again may help; 0 if it will not.
func (p *Personr) ask(ctx context.Context, refused string, timeout time.Duration) (*token, time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	event := map[string]string{}
	if refused != "" {
		event["rejected_version"] = refused
	}
	payload, _ := json.Marshal(event)
	asked := time.Now()
	reply, err := p.Lambda.Invoke(ctx, &lambda.InvokeInput{FunctionName: aws.String(p.Function), Payload: payload})
	if err != nil {
		return nil, 0, err // the SDK has tried again where that may help
	}
	if reply.FunctionError != nil {
		return refusal(reply.Payload)
	}
	next := &token{askedAt: asked}
	if json.Unmarshal(reply.Payload, next) != nil || next.AccessToken == "" {
		return nil, 0, errors.New("the vending function's answer is not of the contract")
	}
	return next, 0, nil
}

func refusal(payload []byte) (*token, time.Duration, error) {
	var outer struct {
		ErrorMessage string `json:"errorMessage"`
	}
	var inner struct {
		Error      string  `json:"error"`
		RetryAfter float64 `json:"retry_after"`
	}
	_ = json.Unmarshal(payload, &outer)
	_ = json.Unmarshal([]byte(outer.ErrorMessage), &inner)
	err := fmt.Errorf("no token: %s", inner.Error)
	switch inner.Error {
	case "", "TokenUnavailable", "StoreUnavailable": // "" is a timeout or a crash, in Lambda's own words
		return nil, time.Duration(max(inner.RetryAfter, 1) * float64(time.Second)), err
	}
	return nil, 0, err
}

// Do sends the request with the token, and once more with the next one if the vendor refuses it. A body must be one
// that http.NewRequest can make again: a bytes.Reader, a bytes.Buffer or a strings.Reader.
func (p *Personr) Do(request *http.Request) (*http.Response, error) {
	if request.URL.Scheme != "https" && request.URL.Hostname() != "127.0.0.1" {
		return nil, errors.New("a token is sent over https only")
	}
	refused := ""
	for {
		token, err := p.Token(request.Context(), refused)
		if err != nil {
			return nil, err
		}
		attempt := request.Clone(request.Context())
		if request.GetBody != nil {
			attempt.Body, _ = request.GetBody()
		}
		attempt.Header.Set("Authorization", "Bearer "+token.AccessToken)
		answer, err := p.HTTP.Do(attempt)
		if err != nil || answer.StatusCode != http.StatusUnauthorized || refused != "" {
			return answer, err
		}
		answer.Body.Close() // it holds the token: never log it
		refused = token.Version
	}
}

func max(one, other float64) float64 {
	if one > other {
		return one
	}
	return other
}

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), 40*time.Second)
	defer cancel()
	settings, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		panic(err)
	}
	personr := &Personr{
		Lambda:   lambda.NewFromConfig(settings),
		Function: os.Getenv("PERSONR_TOKEN_FUNCTION"),
		// No redirect is followed: the token goes nowhere else.
		HTTP: &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }},
	}
	body := bytes.NewReader([]byte(`{"id": 5}`))
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, os.Getenv("PERSONR_ENDPOINT"), body)
	if err != nil {
		panic(err)
	}
	answer, err := personr.Do(request)
	if err != nil {
		panic(err)
	}
	defer answer.Body.Close()
	if _, err := io.Copy(os.Stdout, answer.Body); err != nil {
		panic(err)
	}
}
