// The package in a process of its own, for tests/integration/client/test_node.py: one line in, one line out.
import readline from "node:readline";

const { TokenClient } = await import(process.env.PACKAGE);
const options = JSON.parse(process.env.OPTIONS);
const first = new TokenClient(options);

async function outcome(call) {
  try {
    return await call();
  } catch ({ name, message, retryAfter, retryable }) {
    return { name, message, retryAfter, retryable };
  }
}

for await (const line of readline.createInterface({ input: process.stdin })) {
  const { calls, waitSeconds, client, environment } = JSON.parse(line);
  Object.assign(process.env, environment);
  const personr = client ? new TokenClient({ ...options, ...client }) : first;
  const call = () =>
    calls === 0
      ? personr.get({ waitSeconds }).then((token) => token.version)
      : personr.fetch(process.env.PERSONR_ENDPOINT, { method: "POST", body: "{}", waitSeconds }).then((answer) => answer.status);
  const answers = await Promise.all(Array.from({ length: calls || 1 }, () => outcome(call)));
  console.log(JSON.stringify(answers));
}
