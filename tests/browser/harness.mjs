// Shared by the browser tests: Debian's Chromium, free ports, and a test runner.

import { createServer } from "node:net";
import { chromium } from "playwright-core";

export const ROOT = new URL("../../", import.meta.url).pathname;

/** Chromium without a sandbox (tests run as root in CI), without a GPU, and without its requests to its maker. */
export function launch(more = []) {
  return chromium.launch({
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    headless: true,
    args: [
      "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
      "--disable-component-update", "--disable-sync", ...more,
    ],
  });
}

/** Ports that are free now, all different. */
export async function freePorts(count) {
  const servers = await Promise.all(Array.from({ length: count }, () => new Promise((resolve, reject) => {
    const server = createServer();
    server.once("error", reject);
    server.listen(0, "127.0.0.1", () => resolve(server));
  })));
  const ports = servers.map((server) => server.address().port);
  await Promise.all(servers.map((server) => new Promise((resolve) => { server.close(resolve); })));
  return ports;
}

/** Waits until `probe` returns a true value; on a timeout the error names the condition. */
export async function eventually(what, probe, timeoutMs = 10_000) {
  const until = performance.now() + timeoutMs;
  let failure;
  for (;;) {
    try {
      const got = await probe();
      if (got) return got;
      failure = undefined;
    } catch (error) {
      failure = error;
    }
    if (performance.now() > until) throw new Error(`not within ${timeoutMs} ms: ${what}`, { cause: failure });
    await new Promise((resolve) => { setTimeout(resolve, 25); });
  }
}

/**
 * Runs all tests in order, or those whose name contains the first argument; the last line has the number that passed.
 */
export async function run(promises, explain = () => "") {
  let passed = 0;
  let failed = 0;
  const only = process.argv[2] ?? "";
  for (const [name, keep] of Object.entries(promises).filter(([each]) => each.includes(only))) {
    const began = performance.now();
    try {
      await keep();
      passed += 1;
      console.log(`ok      ${name} (${((performance.now() - began) / 1000).toFixed(1)} s)`);
    } catch (error) {
      failed += 1;
      console.log(`FAILED  ${name}\n${error.stack}${error.cause ? `\ncaused by ${error.cause.stack}` : ""}\n${await explain()}`);
    }
  }
  console.log(`${passed} passed, ${failed} failed`);
  return failed === 0;
}
