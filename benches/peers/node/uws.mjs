// node uws.mjs PORT [later]: everybody at /sub is subscribed to a topic, to which what comes in at /pub is published, with uWebSockets'
// own pub/sub: in the handler, as its examples do, or `later`, after the turn of the loop. The addon is native (C++); were it not, this would measure a fallback in JavaScript, so it refuses.
process.env.UWS_USE_FALLBACK = "false";
const { default: uWS } = await import("@trufflesuite/uws-js-unofficial");
if (!String(uWS.App).includes("[native code]")) throw new Error("the native addon of uWebSockets does not load here");

const PORT = Number(process.argv[2]);
const app = uWS.App();

// In the handler the publisher holds the one cork buffer: when much comes in at once, each message leaves in a `send` of its own. What is
// published after the turn is joined, 32 messages in a `send`: under the load of the show that costs a tenth.
const isLater = process.argv[3] === "later";
let waiting = [];
function publish() {
  for (const message of waiting) app.publish("show", message, false);
  waiting = [];
}

app
  .ws("/sub", {
    compression: uWS.DISABLED,
    idleTimeout: 0,
    sendPingsAutomatically: false,
    // Its default of 64 KiB, at which it drops without a word; more, so that a slow moment loses nothing.
    maxBackpressure: 1024 * 1024,
    open: (socket) => socket.subscribe("show"),
  })
  .ws("/pub", {
    compression: uWS.DISABLED,
    idleTimeout: 0,
    message: (socket, message) => {
      if (!isLater) {
        app.publish("show", message, false);
        return;
      }
      if (waiting.length === 0) setImmediate(publish);
      waiting.push(message.slice(0)); // It is the handler's only until this returns.
    },
  })
  .listen("127.0.0.1", PORT, (listening) => {
    if (!listening) throw new Error(`cannot listen on ${PORT}`);
  });
