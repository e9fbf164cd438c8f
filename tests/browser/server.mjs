// A real Volley server that the tests start and stop: the binary in VOLLEY_BIN, on free ports, with the log in memory.

import { spawn } from "node:child_process";
import { eventually } from "./harness.mjs";

const READY_MS = 15_000;
/** The default drain of 10 s, and a reserve for a loaded machine. */
const EXIT_MS = 25_000;
const OUTPUT_BYTES_MAX = 64 << 10;

export class Server {
  #child = null;
  #exited = null;
  output = "";

  constructor(binary, port, adminPort, settings = []) {
    Object.assign(this, { binary, port, adminPort, settings });
    this.origin = `http://127.0.0.1:${port}`;
  }

  async start() {
    // VOLLEY_BIN is for this script; the server refuses variables that it does not know.
    const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith("VOLLEY_")));
    const child = spawn(this.binary, ["--listen", `127.0.0.1:${this.port}`, "--admin", `127.0.0.1:${this.adminPort}`, "--data", "memory", ...this.settings], {
      env,
      stdio: ["ignore", "pipe", "pipe"],
      env: Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith("VOLLEY_"))),
    });
    this.#child = child;
    const keep = (bytes) => { this.output = (this.output + bytes).slice(-OUTPUT_BYTES_MAX); };
    child.stdout.on("data", keep);
    child.stderr.on("data", keep);
    let gone = null;
    this.#exited = new Promise((resolve) => {
      child.once("error", (error) => { gone = error.message; resolve(null); });
      child.once("exit", (code, signal) => { gone = `exit ${code ?? signal}`; resolve(code); });
    });
    await eventually("the server is ready", async () => {
      if (gone) throw new Error(`the server is gone: ${gone}\n${this.output}`);
      return (await fetch(`http://127.0.0.1:${this.adminPort}/readyz`)).status === 200;
    }, READY_MS);
  }

  /** SIGTERM, and waits for the end. @returns {Promise<number|null>} its exit code */
  async stop() {
    const child = this.#child;
    if (!child || child.exitCode !== null || child.signalCode !== null) return child?.exitCode ?? null;
    child.kill("SIGTERM");
    let timer;
    const late = new Promise((_, reject) => {
      timer = setTimeout(() => reject(new Error(`no exit within ${EXIT_MS} ms of SIGTERM`)), EXIT_MS);
    });
    try {
      return await Promise.race([this.#exited, late]);
    } finally {
      clearTimeout(timer);
    }
  }

  /** Cleans up at the end of a run, even after a failure. */
  kill() {
    this.#child?.kill("SIGKILL");
  }
}
