import type { TokenRequest, TokenSource } from "./index.js";

/** A vending function in memory: tokens `token-1`, `token-2`, … of versions `version-1`, `version-2`, … */
export declare class FakeTokenSource implements TokenSource {
  constructor(options?: { lifetimeSeconds?: number; cacheSeconds?: number });
  /** Everything that was asked, in order. */
  readonly requests: TokenRequest[];
  readonly version: string;
  fetch: TokenSource["fetch"];
  /** The vendor refuses the current token from now on; a report of it mints the next. */
  kill(): void;
  /** Mint, as the schedule does: the old token is dead. */
  replace(): void;
  /** Let the next requests fail, one with each of these. */
  failWith(...errors: Error[]): void;
  /** Whether the vendor would accept this Authorization header: for a fake vendor of your own. */
  accepts(authorization: string | null | undefined): boolean;
}
