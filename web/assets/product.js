// Product cards from the application's events of the type `shop.product`: title, price, optional picture and address.
// The data is not trusted: it is shown as text, and only addresses over TLS or on this site are used.

import { t } from "./i18n.js";
import { shorten, textElement } from "./text.js";

const TYPE = "shop.product";
const TEXT_MAX = 120;
/** Display time of a card that is not sticky. */
const STAY_MS = 20_000;

/**
 * @typedef {{title: string, price: string, image?: string, url?: string}} Product
 * @param {{type: string, data: any}} custom @param {string} base the page's own address
 * @returns {Product|null} null if it is not a product card
 */
export function productOf({ type, data }, base) {
  if (type !== TYPE || typeof data !== "object" || data === null) return null;
  const title = words(data.title);
  if (title === "") return null;
  return { title, price: words(data.price), image: safeAddress(data.image, base), url: safeAddress(data.url, base) };
}

function words(value) {
  if (typeof value !== "string" && !Number.isFinite(value)) return "";
  return shorten(String(value).trim(), TEXT_MAX);
}

/** Allows only addresses over TLS or on this site. @param {unknown} value @param {string} base */
export function safeAddress(value, base) {
  if (typeof value !== "string" || value === "") return undefined;
  try {
    const address = new URL(value, base);
    const own = address.origin === new URL(base).origin && address.protocol.startsWith("http");
    return own || address.protocol === "https:" ? address.href : undefined;
  } catch {
    return undefined;
  }
}

export class Shelf {
  #root; #timer = 0; /** The card that the viewer closed. @type {string} */ #away = ""; /** @type {Product|null} */ #sticky = null; #shown = "";

  /** @param {HTMLElement} root */
  constructor(root) { this.#root = root; }

  /** Shows the sticky card. @param {{type: string, data: any}|undefined} custom */
  stick(custom) {
    this.#sticky = custom ? productOf(custom, location.href) : null;
    if (this.#timer === 0) this.#paint(this.#sticky);
  }

  /** Shows a card for a while. @param {{type: string, data: any}} custom */
  offer(custom) {
    const product = productOf(custom, location.href);
    if (!product) return;
    this.#paint(product);
    clearTimeout(this.#timer);
    this.#timer = window.setTimeout(() => {
      this.#timer = 0;
      this.#paint(this.#sticky);
    }, STAY_MS);
  }

  #paint(product) {
    const key = product ? JSON.stringify(product) : "";
    const wanted = key !== "" && key !== this.#away;
    this.#root.hidden = !wanted;
    if (!wanted || key === this.#shown) return;
    this.#shown = key;
    this.#root.replaceChildren(...card(product, () => {
      this.#away = key;
      this.#root.hidden = true;
    }));
  }
}

function card({ title, price, image, url }, dismiss) {
  const parts = [];
  if (image) {
    const picture = document.createElement("img");
    Object.assign(picture, { alt: "", referrerPolicy: "no-referrer", decoding: "async", width: 64, height: 64 });
    picture.addEventListener("error", () => picture.remove());
    picture.src = image;
    parts.push(picture);
  }
  const text = document.createElement("div");
  text.className = "product-text";
  const name = textElement(url ? "a" : "strong", "product-title", title);
  if (url) Object.assign(name, { href: url, target: "_blank", rel: "noopener noreferrer" });
  text.append(name);
  if (price) text.append(textElement("span", "product-price", price));
  const close = document.createElement("button");
  Object.assign(close, { type: "button", className: "close", title: t("dismiss") });
  close.setAttribute("aria-label", t("dismiss"));
  close.addEventListener("click", dismiss);
  return [...parts, text, close];
}
