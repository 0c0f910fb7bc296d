# Calls Personr with the vended token, asked for over HTTP: `gem install aws-sdk-core` signs it. Net::HTTP follows no
# redirect, so the token goes nowhere else.
require "aws-sdk-core"
require "json"
require "net/http"

class Personr
  RETRYABLE = ["TokenUnavailable", "StoreUnavailable", nil].freeze # nil: a gateway's or Lambda's own answer
  LOST = [SystemCallError, SocketError, Timeout::Error, EOFError].freeze

  # url is the stack's output VendUrl. The caller's role needs the policy UrlCallerPolicyArn and a place in AllowedCallers.
  def initialize(url: ENV.fetch("PERSONR_TOKEN_URL"), region: ENV.fetch("AWS_REGION"), wait_seconds: 20)
    @url = url.chomp("/")
    @wait_seconds = wait_seconds
    @lock = Mutex.new
    credentials = Aws::STS::Client.new(region: region).config.credentials # the SDK's own search
    @signer = Aws::Sigv4::Signer.new(service: "lambda", region: region, credentials_provider: credentials)
  end

  # Sends a Net::HTTP request whose body, if any, is a text. A 401 is healed once.
  def call(request)
    token = token()
    answer = exchange(request, token)
    answer.is_a?(Net::HTTPUnauthorized) ? exchange(request, token(refused: token["version"])) : answer
  end

  # One thread asks, the others wait for its answer.
  def token(refused: nil)
    give_up_at = monotonic + @wait_seconds
    @lock.synchronize do
      loop do
        good = @held if @held && @held["version"] != refused && Time.now < @held["dead_at"]
        return good if good && Time.now < good["stale_at"]

        asked_at = Time.now
        status, answer = ask(refused, good ? 2 : 12) # a token that is still good is not held back for long
        return @held = dated(answer, asked_at) if status == 200
        return good if good

        pause = answer["retry_after"] || 1
        unless RETRYABLE.include?(answer["error"]) && status != 403 && monotonic + pause < give_up_at
          raise "no token: #{answer["error"] || status}"
        end

        sleep pause
      end
    end
  end

  private

  def ask(refused, read_timeout)
    uri = URI(@url + (refused ? "/token/rejections" : "/token"))
    request = (refused ? Net::HTTP::Post : Net::HTTP::Get).new(uri)
    request["Content-Type"] = "application/json"
    request.body = JSON.generate(version: refused) if refused
    signature = @signer.sign_request(
      http_method: request.method, url: uri.to_s, body: request.body.to_s,
      headers: { "content-type" => "application/json" }
    )
    signature.headers.each { |name, value| request[name] = value }
    response = Net::HTTP.start(
      uri.host, uri.port, use_ssl: uri.scheme == "https", open_timeout: 3, read_timeout: read_timeout
    ) { |http| http.request(request) }
    [response.code.to_i, JSON.parse(response.body)]
  rescue *LOST, JSON::ParserError
    [nil, {}]
  end

  def dated(answer, asked_at)
    answer.merge("stale_at" => asked_at + answer["cache_seconds"], "dead_at" => asked_at + answer["expires_in"])
  end

  def exchange(request, token)
    uri = request.uri
    raise "a token is sent over https only" unless uri.scheme == "https" || uri.host == "127.0.0.1"

    request["Authorization"] = "Bearer #{token["access_token"]}"
    Net::HTTP.start(uri.host, uri.port, use_ssl: uri.scheme == "https") { |http| http.request(request) }
  end

  def monotonic
    Process.clock_gettime(Process::CLOCK_MONOTONIC)
  end
end

if $PROGRAM_NAME == __FILE__
  request = Net::HTTP::Post.new(URI(ENV.fetch("PERSONR_ENDPOINT")), "Content-Type" => "application/json")
  request.body = JSON.generate(id: 5)
  puts Personr.new.call(request).body
end
