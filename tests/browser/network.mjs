// The network between a browser and a server, which a test can break: TCP data is passed on, or silently dropped, as
// after a phone has changed its network.

import { connect, createServer } from "node:net";

export class Network {
  static #all = new Set();
  #server; #pairs = new Set(); #isUp = true;

  /** @param {number} port the port of the server */
  static async to(port) {
    const network = new Network();
    network.#server = createServer((near) => network.#pass(near, port));
    await new Promise((resolve) => { network.#server.listen(0, "127.0.0.1", resolve); });
    Network.#all.add(network);
    network.origin = `http://127.0.0.1:${network.#server.address().port}`;
    return network;
  }

  #pass(near, port) {
    const pair = { near, far: null, isDead: !this.#isUp };
    this.#pairs.add(pair);
    near.on("error", () => {});
    near.on("close", () => { this.#pairs.delete(pair); pair.far?.destroy(); });
    if (pair.isDead) { near.resume(); return; } // Accepted, as by a router's backlog, and never answered.
    pair.far = connect(port, "127.0.0.1");
    pair.far.on("error", () => {});
    pair.far.on("close", () => { if (!pair.isDead) near.destroy(); });
    near.on("data", (bytes) => { if (!pair.isDead) pair.far.write(bytes); });
    pair.far.on("data", (bytes) => { if (!pair.isDead) near.write(bytes); });
  }

  /** Open connections are dead from now on, in both directions, without a notice to either side. */
  swallow() { for (const pair of this.#pairs) pair.isDead = true; }

  /** Neither open nor new connections work any more. */
  goDown() { this.#isUp = false; this.swallow(); }

  /** New connections work again. */
  comeUp() { this.#isUp = true; }

  /** Cleans up at the end of a run, even after a failure. */
  static closeAll() { for (const network of Network.#all) network.close(); }

  close() {
    Network.#all.delete(this);
    for (const { near } of this.#pairs) near.destroy();
    this.#server.close();
  }
}
