// The network between a browser and a server, where a test can break it: TCP that is passed on, or swallowed without a word, as it is
// after a phone has changed from one network to the other.

import { connect, createServer } from "node:net";

export class Network {
  static #all = new Set();
  #server; #pairs = new Set(); #isUp = true;

  /** @param {number} port where the server listens */
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
    if (pair.isDead) { near.resume(); return; } // Accepted, as a router's backlog would, and never answered.
    pair.far = connect(port, "127.0.0.1");
    pair.far.on("error", () => {});
    pair.far.on("close", () => { if (!pair.isDead) near.destroy(); });
    near.on("data", (bytes) => { if (!pair.isDead) pair.far.write(bytes); });
    pair.far.on("data", (bytes) => { if (!pair.isDead) near.write(bytes); });
  }

  /** What is open now is dead from here on, in both directions, and neither side hears of it. */
  swallow() { for (const pair of this.#pairs) pair.isDead = true; }

  /** Nothing works any more, neither what is open nor what comes. */
  goDown() { this.#isUp = false; this.swallow(); }

  /** What comes from now on works. */
  comeUp() { this.#isUp = true; }

  /** For the end of a run, whatever happened before. */
  static closeAll() { for (const network of Network.#all) network.close(); }

  close() {
    Network.#all.delete(this);
    for (const { near } of this.#pairs) near.destroy();
    this.#server.close();
  }
}
