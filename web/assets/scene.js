// The moving picture under the comments: a night stage with aurora, beams and a crowd. It is drawn, not downloaded.
// The canvas is small and stretched by CSS, because soft shapes may be coarse. At most 30 pictures a second.

const WIDTH = 640;
const HEIGHT = 360;
const FRAME_MS = 1000 / 30;
const HORIZON = 236;
/** The aurora is drawn this many times coarser and stretched, which also makes it soft. */
const SOFT = 4;

/** A small deterministic generator, so that the picture is the same for all viewers. */
function randoms(seed) {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

function layer(width, height, paint) {
  const canvas = Object.assign(document.createElement("canvas"), { width, height });
  paint(canvas.getContext("2d"));
  return canvas;
}

function gradient(context, x0, y0, x1, y1, stops) {
  const fill = context.createLinearGradient(x0, y0, x1, y1);
  for (const [at, color] of stops) fill.addColorStop(at, color);
  return fill;
}

function paintSky(context) {
  const random = randoms(7);
  context.fillStyle = gradient(context, 0, 0, 0, HEIGHT, [[0, "#070b1e"], [0.45, "#10204a"], [0.66, "#2a2a63"], [1, "#120c24"]]);
  context.fillRect(0, 0, WIDTH, HEIGHT);
  for (let i = 0; i < 170; i += 1) {
    context.fillStyle = `rgba(255, 255, 255, ${(0.15 + random() * 0.65).toFixed(2)})`;
    const size = random() < 0.1 ? 1.6 : 0.9;
    context.fillRect(random() * WIDTH, random() ** 1.4 * HORIZON, size, size);
  }
}

function paintHills(context) {
  for (const [base, height, color, seed] of [[HORIZON - 22, 46, "#141a3e", 3], [HORIZON, 34, "#0d1029", 11]]) {
    const random = randoms(seed);
    const phases = [random() * 6, random() * 6, random() * 6];
    context.fillStyle = color;
    context.beginPath();
    context.moveTo(0, HEIGHT);
    for (let x = 0; x <= WIDTH; x += 4) {
      const wave = Math.sin(x / 83 + phases[0]) * 0.5 + Math.sin(x / 37 + phases[1]) * 0.3 + Math.sin(x / 17 + phases[2]) * 0.12;
      context.lineTo(x, base - (0.4 + wave * 0.6) * height);
    }
    context.lineTo(WIDTH, HEIGHT);
    context.fill();
  }
}

/** The stage: a truss, its lamps and a shiny floor. */
function paintStage(context) {
  context.fillStyle = gradient(context, 0, HORIZON - 6, 0, HEIGHT, [[0, "#4a3f9e"], [0.12, "#2a2460"], [1, "#0a0816"]]);
  context.beginPath();
  context.moveTo(150, HORIZON - 2);
  context.lineTo(490, HORIZON - 2);
  context.lineTo(600, 310);
  context.lineTo(40, 310);
  context.fill();
  context.strokeStyle = "rgba(160, 170, 255, .35)";
  context.lineWidth = 1;
  for (let i = -6; i <= 6; i += 1) {
    context.beginPath();
    context.moveTo(320 + i * 27, HORIZON - 2);
    context.lineTo(320 + i * 46, 310);
    context.stroke();
  }
  context.strokeStyle = "#05060f";
  context.lineWidth = 5;
  context.beginPath();
  context.moveTo(118, 300);
  context.lineTo(118, 84);
  context.quadraticCurveTo(320, 52, 522, 84);
  context.lineTo(522, 300);
  context.stroke();
}

function paintCrowd(context) {
  const random = randoms(23);
  for (const [y, size, color] of [[310, 9, "#0b0a1c"], [326, 12, "#070714"], [346, 16, "#03030a"]]) {
    context.fillStyle = color;
    for (let x = -20; x < WIDTH + 60; x += size * 1.7) {
      const top = y - random() * size * 0.8;
      context.beginPath();
      context.arc(x, top, size * 0.62, 0, 7);
      context.ellipse(x, top + size * 1.5, size * 1.15, size, 0, 0, 7);
      context.fill();
    }
    context.fillRect(0, y + size * 0.9, WIDTH + 40, HEIGHT);
  }
}

const CURTAINS = [
  { color: [64, 255, 190], y: 44, height: 120, waves: [[71, 0.31, 20], [29, -0.47, 8]], strength: 0.62 },
  { color: [70, 170, 255], y: 26, height: 150, waves: [[97, -0.23, 24], [41, 0.37, 9]], strength: 0.46 },
  { color: [214, 110, 255], y: 70, height: 110, waves: [[59, 0.19, 18], [23, 0.53, 6]], strength: 0.36 },
];
const BEAMS = [
  { x: 150, hue: "120, 220, 255", phase: 0 }, { x: 236, hue: "255, 130, 210", phase: 1.7 },
  { x: 404, hue: "255, 210, 120", phase: 3.1 }, { x: 490, hue: "150, 160, 255", phase: 4.4 },
];
const STICKS = (() => {
  const random = randoms(41);
  const colors = ["#5eead4", "#f0abfc", "#fde68a", "#93c5fd", "#fda4af"];
  return Array.from({ length: 54 }, () => ({
    x: random() * WIDTH, y: 304 + random() * 40, length: 9 + random() * 7, phase: random() * 0.9, color: colors[Math.floor(random() * colors.length)],
  }));
})();

export class Scene {
  #context; #back; #front; #crowd; #aurora; #strips; #beams; #raf = 0; #drawnAt = -Infinity; #time = 0; #last = null;

  /** @param {HTMLCanvasElement} canvas stretched by CSS to any size */
  constructor(canvas) {
    Object.assign(canvas, { width: WIDTH, height: HEIGHT });
    this.#context = canvas.getContext("2d", { alpha: false });
    this.#back = layer(WIDTH, HEIGHT, paintSky);
    this.#front = layer(WIDTH, HEIGHT, (context) => { paintHills(context); paintStage(context); });
    this.#aurora = layer(WIDTH / SOFT, HEIGHT / SOFT, (context) => { context.globalCompositeOperation = "lighter"; });
    this.#crowd = layer(WIDTH + 40, HEIGHT, paintCrowd);
    this.#strips = CURTAINS.map(({ color, height }) => layer(1, height, (context) => {
      const rgb = color.join(", ");
      context.fillStyle = gradient(context, 0, 0, 0, height, [[0, `rgba(${rgb}, 0)`], [0.62, `rgba(${rgb}, .5)`], [0.86, `rgba(${rgb}, .9)`], [1, `rgba(${rgb}, 0)`]]);
      context.fillRect(0, 0, 1, height);
    }));
    this.#beams = BEAMS.map(({ hue }) => layer(120, 260, (context) => {
      context.fillStyle = gradient(context, 0, 0, 0, 260, [[0, `rgba(${hue}, .55)`], [0.5, `rgba(${hue}, .16)`], [1, `rgba(${hue}, 0)`]]);
      context.beginPath();
      context.moveTo(57, 0);
      context.lineTo(63, 0);
      context.lineTo(112, 260);
      context.lineTo(8, 260);
      context.fill();
    }));
    this.draw(9_000);
  }

  start() {
    if (this.#raf) return;
    const frame = (now) => {
      this.#raf = requestAnimationFrame(frame);
      if (now - this.#drawnAt < FRAME_MS - 4) return;
      this.#time += this.#last === null ? 0 : Math.min(now - this.#last, 100);
      this.#last = now;
      this.#drawnAt = now;
      this.draw(9_000 + this.#time);
    };
    this.#raf = requestAnimationFrame(frame);
  }

  stop() {
    cancelAnimationFrame(this.#raf);
    this.#raf = 0;
    this.#last = null;
  }

  /** One picture of the scene as it is at `ms`. @param {number} ms */
  draw(ms) {
    const context = this.#context;
    const t = ms / 1000;
    context.globalCompositeOperation = "source-over";
    context.globalAlpha = 1;
    context.drawImage(this.#back, 0, 0);
    context.globalCompositeOperation = "lighter";
    const aurora = this.#aurora.getContext("2d");
    aurora.clearRect(0, 0, WIDTH / SOFT, HEIGHT / SOFT);
    CURTAINS.forEach((curtain, i) => hang(aurora, curtain, this.#strips[i], t));
    context.drawImage(this.#aurora, 0, 0, WIDTH, HEIGHT);
    context.globalCompositeOperation = "source-over";
    context.globalAlpha = 1;
    context.drawImage(this.#front, 0, 0);
    context.globalCompositeOperation = "lighter";
    BEAMS.forEach((beam, i) => {
      context.setTransform(1, 0, 0, 1, beam.x, 72);
      context.rotate(Math.sin(t * 0.6 + beam.phase) * 0.42);
      context.globalAlpha = 0.7 + 0.3 * Math.sin(t * 1.3 + beam.phase * 2);
      context.drawImage(this.#beams[i], -60, 0);
    });
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.globalCompositeOperation = "source-over";
    context.globalAlpha = 1;
    context.drawImage(this.#crowd, -20 + Math.sin(t * 0.7) * 4, Math.sin(t * 2.4) * 2);
    context.lineCap = "round";
    context.lineWidth = 2.4;
    for (const stick of STICKS) {
      const angle = Math.sin(t * 2.4 + stick.phase) * 0.55;
      context.strokeStyle = stick.color;
      context.beginPath();
      context.moveTo(stick.x, stick.y);
      context.lineTo(stick.x + Math.sin(angle) * stick.length, stick.y - Math.cos(angle) * stick.length);
      context.stroke();
    }
  }
}

/** One curtain of the aurora as it is at `t` seconds. */
function hang(context, { y, height, waves, strength }, strip, t) {
  for (let x = 0; x < WIDTH; x += SOFT) {
    let bend = 0;
    for (const [length, speed, depth] of waves) bend += Math.sin(x / length + t * speed * 2) * depth;
    const glow = 0.5 + 0.5 * Math.sin(x / 47 + t * 0.5 + y) * Math.sin(x / 19 - t * 0.9);
    context.globalAlpha = strength * (0.25 + 0.75 * glow);
    context.drawImage(strip, x / SOFT, (y + bend) / SOFT, 1, height / SOFT);
  }
}
