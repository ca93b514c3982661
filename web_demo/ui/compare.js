/** Before and after, one above the other: a divider between them, zoom and pan in step, by pointer, touch and keys. */

import { size } from './format.js';

const MAX_ZOOM = 16;
const ZOOM_STEP = 1.5;
const ZOOM_KEYS = { '+': 'in', '=': 'in', '-': 'out', 0: 'fit' }; // + without its Shift is =
/** Of the view's side, for each press of an arrow key. */
const PAN_STEP = 1 / 8;
/** Larger results are shown reduced, in canvas pixels; the file keeps them all. */
const MAX_PIXELS = 16e6;
const MAX_SIDE = 8192;

export class Compare {
  /** Size of the input, and how many times larger its result is; of no image 0. */
  width = 0;
  height = 0;
  scale = 1;
  /** Pixels of the screen per pixel of the input: now, and where all of the image is in sight. */
  zoom = 1;
  fitted = 1;
  /** Whether the result is: until then the image before lies below it. */
  isFinished = false;
  /** Where the image begins, in pixels of the view. */
  x = 0;
  y = 0;

  /**
   * @param {HTMLElement} root
   * @param {HTMLElement} zoom its buttons, beside it: on a phone they would cover the picture
   */
  constructor(root, zoom) {
    this.root = root;
    root.tabIndex = 0;
    root.setAttribute('role', 'group');
    root.setAttribute('aria-label', 'Before and after: + and − zoom, 0 fits, arrow keys move');
    root.innerHTML = `
      <div class="pane" data-pane="before"></div>
      <div class="pane" data-pane="after"></div>
      <span class="tag before">Before</span><span class="tag after">After</span>
      <div class="divider" role="slider" tabindex="0" aria-label="Divider between before and after"
        aria-valuemin="0" aria-valuemax="100" aria-valuenow="50"></div>`;
    zoom.innerHTML = `
      <button data-zoom="out" aria-label="Zoom out">−</button><button data-zoom="fit">Fit</button>
      <button data-zoom="full" aria-label="One pixel of the result per pixel of the screen">1:1</button>
      <button data-zoom="in" aria-label="Zoom in">+</button>`;
    /** @type {(selector: string) => any} */
    const find = (selector) => root.querySelector(selector);
    this.before = find('[data-pane=before]');
    this.after = find('[data-pane=after]');
    this.divider = find('.divider');
    this.zoomButtons = zoom;
    this.tags = { before: find('.tag.before'), after: find('.tag.after') };
    zoom.addEventListener('click', ({ target }) =>
      this.#step(/** @type {any} */ (target).closest('button')?.dataset.zoom),
    );
    this.split = 0.5;
    this.pointers = new Map();
    this.#listen();
    new ResizeObserver(() => this.#resize()).observe(root);
  }

  /**
   * Show an image and its result: the canvas on which it is painted, or an image of that.
   * @param {{image: HTMLImageElement, after?: HTMLElement, alpha?: boolean, width: number,
   *   height: number, scale: number}} pair sizes of the input
   */
  show({ image, after, alpha, width, height, scale }) {
    Object.assign(this, { width, height, scale });
    if (!width) return this.clear(); // browsers would draw a broken image
    this.zoomButtons.hidden = false;
    this.root.classList.remove('blank');
    this.root.classList.toggle('transparent', Boolean(alpha));
    this.root.classList.toggle('single', !after);
    image.alt = 'Before';
    after?.setAttribute('role', 'img');
    after?.setAttribute('aria-label', 'After');
    this.before.replaceChildren(image);
    this.after.replaceChildren(...(after ? [after] : []));
    this.fit();
  }

  /**
   * Name the sizes of the two images.
   * @param {{width: number, height: number}} [before]
   * @param {{width: number, height: number}} [after] of a finished result: while it is made, the image before lies below it
   */
  name(before, after) {
    const isFinished = after !== undefined;
    this.root.classList.toggle('unfinished', !isFinished);
    this.tags.before.textContent = before?.width ? `Before · ${unbroken(before)}` : 'Before';
    this.tags.after.textContent = after ? `After · ${unbroken(after)}` : 'After';
    if (isFinished === this.isFinished) return;
    this.isFinished = isFinished;
    this.#draw();
  }

  /** Hold no image any longer. */
  clear() {
    this.width = 0;
    this.zoomButtons.hidden = true;
    this.root.classList.add('blank');
    this.before.replaceChildren();
    this.after.replaceChildren();
  }

  /** A phone's address bar comes and goes: what was zoomed stays so. */
  #resize() {
    if (!this.root.clientWidth) return; // another tab is shown
    const { zoom, fitted, x, y } = this;
    this.fit();
    if (zoom === fitted) return;
    Object.assign(this, { zoom, x, y });
    this.#draw();
  }

  fit() {
    if (!this.width) return;
    const { clientWidth, clientHeight } = this.root;
    this.zoom = this.fitted = Math.min(clientWidth / this.width, clientHeight / this.height);
    this.x = (clientWidth - this.width * this.zoom) / 2;
    this.y = (clientHeight - this.height * this.zoom) / 2;
    this.#draw();
  }

  /** Zoom about a point of the view, its centre by default. */
  zoomTo(zoom, x = this.root.clientWidth / 2, y = this.root.clientHeight / 2) {
    const next = Math.min(
      Math.max(MAX_ZOOM, this.fitted),
      Math.max(Math.min(this.fitted, 1, this.scale / devicePixelRatio), zoom),
    );
    this.x = x - ((x - this.x) * next) / this.zoom;
    this.y = y - ((y - this.y) * next) / this.zoom;
    this.zoom = next;
    this.#draw();
  }

  #draw() {
    // Never lose the image out of sight.
    const keep = (offset, side, view) => Math.min(view - 40, Math.max(40 - side, offset));
    this.x = keep(this.x, this.width * this.zoom, this.root.clientWidth);
    this.y = keep(this.y, this.height * this.zoom, this.root.clientHeight);
    for (const layer of [this.before.firstChild, this.after.firstChild]) {
      if (!layer) continue;
      layer.style.width = `${this.width * this.zoom}px`;
      layer.style.height = `${this.height * this.zoom}px`;
      layer.style.transform = `translate(${this.x}px, ${this.y}px)`;
    }
    const percent = Math.round(this.split * 100);
    this.after.style.clipPath = `inset(0 0 0 ${this.split * 100}%)`;
    this.before.style.clipPath =
      this.after.firstChild && this.isFinished ? `inset(0 ${100 - this.split * 100}% 0 0)` : '';
    this.divider.style.left = `${this.split * 100}%`;
    const below = this.root.clientHeight - this.y - this.height * this.zoom;
    this.divider.style.top = `${Math.max(0, this.y)}px`;
    this.divider.style.bottom = `${Math.max(0, below)}px`;
    this.divider.setAttribute('aria-valuenow', percent);
    this.divider.setAttribute('aria-valuetext', `${percent} % before`);
  }

  #listen() {
    const { root, divider, pointers } = this;
    const at = (event) => {
      const box = root.getBoundingClientRect();
      return { x: event.clientX - box.left, y: event.clientY - box.top };
    };
    divider.addEventListener('pointerdown', (event) => {
      divider.setPointerCapture(event.pointerId);
      event.stopPropagation();
    });
    divider.addEventListener('pointermove', (event) => {
      if (divider.hasPointerCapture(event.pointerId)) this.#moveSplit(at(event).x / root.clientWidth);
    });
    divider.addEventListener('keydown', (event) => {
      const step = { ArrowLeft: -0.02, ArrowRight: 0.02, PageDown: -0.1, PageUp: 0.1, Home: -1, End: 1 }[event.key];
      if (!step) return;
      event.preventDefault();
      this.#moveSplit(this.split + step);
    });
    root.addEventListener('pointerdown', (event) => {
      if (/** @type {Element} */ (event.target).closest('button, .divider')) return;
      root.setPointerCapture(event.pointerId);
      pointers.set(event.pointerId, at(event));
    });
    root.addEventListener('pointermove', (event) => {
      const last = pointers.get(event.pointerId);
      if (!last) return;
      const now = at(event);
      const other = [...pointers].find(([id]) => id !== event.pointerId)?.[1];
      if (other) {
        const distance = (p) => Math.hypot(p.x - other.x, p.y - other.y);
        this.zoomTo((this.zoom * distance(now)) / Math.max(1, distance(last)), other.x, other.y);
      } else {
        this.x += now.x - last.x;
        this.y += now.y - last.y;
        this.#draw();
      }
      pointers.set(event.pointerId, now);
    });
    const lift = (event) => pointers.delete(event.pointerId);
    root.addEventListener('pointerup', lift);
    root.addEventListener('pointercancel', lift);
    root.addEventListener(
      'wheel',
      (event) => {
        event.preventDefault();
        const { x, y } = at(event);
        this.zoomTo(this.zoom * Math.exp(-event.deltaY / 400), x, y);
      },
      { passive: false },
    );
    root.addEventListener('keydown', (event) => {
      // The divider and the buttons have keys of their own, and browsers zoom with Ctrl.
      if (event.target !== root || event.ctrlKey || event.metaKey || event.altKey) return;
      const { key } = event;
      if (key in ZOOM_KEYS) this.#step(ZOOM_KEYS[key]);
      else if (!this.#pan(key)) return; // the page scrolls then
      event.preventDefault();
    });
  }

  /** @param {'in' | 'out' | 'full' | 'fit'} [zoom] */
  #step(zoom) {
    if (zoom === 'in') this.zoomTo(this.zoom * ZOOM_STEP);
    if (zoom === 'out') this.zoomTo(this.zoom / ZOOM_STEP);
    if (zoom === 'full') this.zoomTo(this.scale / devicePixelRatio);
    if (zoom === 'fit') this.fit();
  }

  /** @returns {boolean} whether the key is an arrow along which the image is longer than the view */
  #pan(key) {
    const { clientWidth, clientHeight } = this.root;
    const across = { ArrowLeft: 1, ArrowRight: -1 }[key] ?? 0;
    const down = { ArrowUp: 1, ArrowDown: -1 }[key] ?? 0;
    const wider = across && this.width * this.zoom > clientWidth;
    const taller = down && this.height * this.zoom > clientHeight;
    if (!wider && !taller) return false;
    this.x += across * clientWidth * PAN_STEP;
    this.y += down * clientHeight * PAN_STEP;
    this.#draw();
    return true;
  }

  #moveSplit(split) {
    this.split = Math.min(1, Math.max(0, split));
    this.#draw();
  }
}

/** A size that a narrow tag does not break. */
const unbroken = ({ width, height }) => size(width, height).replaceAll(' ', '\u00a0');

/** A canvas for a result, reduced if it is larger than canvases may be. */
export function resultCanvas({ width, height, colorSpace }) {
  const reduce = Math.min(1, MAX_SIDE / Math.max(width, height), Math.sqrt(MAX_PIXELS / (width * height)));
  const canvas = document.createElement('canvas');
  canvas.width = Math.max(1, Math.round(width * reduce));
  canvas.height = Math.max(1, Math.round(height * reduce));
  const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext('2d', { colorSpace }));
  return {
    canvas,
    /** @param {{x, y, width, height, bitmap: ImageBitmap}} tile in pixels of the whole result; its bitmap is closed */
    paint({ x, y, width: w, height: h, bitmap }) {
      context.drawImage(bitmap, x * reduce, y * reduce, w * reduce, h * reduce);
      bitmap.close();
    },
  };
}
