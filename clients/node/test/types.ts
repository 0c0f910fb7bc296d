// Compiled, not run: what the declarations must allow and refuse.
import { TokenClient, TokenUnavailable, type Token, type TokenSource } from "@token-vending/client";
import { FakeTokenSource } from "@token-vending/client/testing";
import axios from "axios";

const source: TokenSource = new FakeTokenSource({ cacheSeconds: 60 });
const personr = new TokenClient({ source, waitSeconds: 5, logger: console });

export async function call(): Promise<number> {
  const token: Token = await personr.get({ waitSeconds: 0 });
  const send: typeof fetch = personr.fetch;
  await send("https://personr.example/", { headers: await personr.authHeader() });
  const detach: () => void = personr.attachTo(axios.create());
  detach();
  try {
    await personr.reject(token.version);
  } catch (error) {
    if (error instanceof TokenUnavailable) return error.retryAfter ?? 0;
  }
  // @ts-expect-error the plaintext is no property
  token.access_token;
  // @ts-expect-error a token does not change
  token.version = "other";
  // @ts-expect-error seconds are a number
  new TokenClient({ waitSeconds: "5" });
  return (await personr.fetch(new URL("https://personr.example/"), { waitSeconds: 1, method: "POST" })).status;
}
