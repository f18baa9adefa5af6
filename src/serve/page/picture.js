// The box that is drawn over the query, and the lines between the points that match.
const LEAST = 0.01; // of the photo: less is a click
const STEP = 0.02;
const MOST_LINES = 120; // more hide the photos
const SVG = "http://www.w3.org/2000/svg";

// Let a person draw a box; `chosen` is called with [left, top, right, bottom] as shares of the photo.
export function drawnBox(stage, shown, chosen) {
  let box = null, start = null;
  const clamped = value => Math.min(Math.max(value, 0), 1);
  const show = () => {
    shown.hidden = box === null;
    if (box === null) return;
    const [left, top, right, bottom] = box;
    Object.assign(shown.style, {
      left: `${100 * left}%`, top: `${100 * top}%`, width: `${100 * (right - left)}%`, height: `${100 * (bottom - top)}%`,
    });
  };
  const at = event => {
    const area = stage.getBoundingClientRect();
    return [clamped((event.clientX - area.left) / area.width), clamped((event.clientY - area.top) / area.height)];
  };
  stage.addEventListener("pointerdown", event => {
    if (event.button !== 0) return;
    start = at(event);
    stage.setPointerCapture(event.pointerId);
  });
  stage.addEventListener("pointermove", event => {
    if (start === null) return;
    const [x, y] = at(event);
    box = [Math.min(x, start[0]), Math.min(y, start[1]), Math.max(x, start[0]), Math.max(y, start[1])];
    show();
  });
  stage.addEventListener("pointerup", () => {
    if (start === null) return;
    start = null;
    if (box !== null && box[2] - box[0] >= LEAST && box[3] - box[1] >= LEAST) chosen(box);
    else { box = null; show(); }
  });
  stage.addEventListener("pointercancel", () => { start = null; box = null; show(); });
  stage.addEventListener("keydown", event => {
    const way = { ArrowLeft: [-STEP, 0], ArrowRight: [STEP, 0], ArrowUp: [0, -STEP], ArrowDown: [0, STEP] }[event.key];
    if (event.key === "Enter") { if (box) chosen(box); else box = [0.25, 0.25, 0.75, 0.75]; }
    else if (event.key === "Escape" && box) box = null;
    else if (way && box) box = event.shiftKey ? sized(box, way) : moved(box, way);
    else return;
    event.preventDefault();
    show();
  });
  const sized = ([left, top, right, bottom], [x, y]) =>
    [left, top, Math.max(left + STEP, clamped(right + x)), Math.max(top + STEP, clamped(bottom + y))];
  const moved = ([left, top, right, bottom], [x, y]) => {
    const dx = Math.min(Math.max(x, -left), 1 - right), dy = Math.min(Math.max(y, -top), 1 - bottom);
    return [left + dx, top + dy, right + dx, bottom + dy];
  };
  return { clear() { box = null; show(); }, get box() { return box; } };
}

// Where a photo of a size lies inside an image element that shows it whole, from the top (object-fit: contain).
function placed(image, size, origin) {
  const area = image.getBoundingClientRect();
  const scale = Math.min(area.width / size.width, area.height / size.height);
  return { scale, left: area.left - origin.left + (area.width - scale * size.width) / 2, top: area.top - origin.top };
}

// Draw the matches of two pictures into an SVG that lies over both.
export function drawLines(svg, pair, query, photo, match, withLines) {
  svg.replaceChildren();
  const origin = pair.getBoundingClientRect();
  const a = placed(query, match.query_size, origin), b = placed(photo, match.photo_size, origin);
  const put = (name, values) => {
    const shape = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(values)) shape.setAttribute(key, value);
    svg.append(shape);
  };
  if (match.box) {
    const [left, top, right, bottom] = match.box;
    put("rect", { x: b.left + b.scale * left, y: b.top + b.scale * top, width: b.scale * (right - left), height: b.scale * (bottom - top) });
  }
  if (!withLines) return;
  const sorted = [...match.inliers].sort((one, other) => one[0] - other[0]).filter((_, number, all) =>
    all.length <= MOST_LINES || Math.floor(number * MOST_LINES / all.length) !== Math.floor((number - 1) * MOST_LINES / all.length));
  sorted.forEach(([ax, ay, bx, by], number) => {
    const colour = `hsl(${(300 * number) / Math.max(1, sorted.length - 1)} 90% 55%)`;
    const [x1, y1] = [a.left + a.scale * ax, a.top + a.scale * ay], [x2, y2] = [b.left + b.scale * bx, b.top + b.scale * by];
    put("line", { x1, y1, x2, y2, stroke: colour, "stroke-opacity": 0.6, "stroke-width": 1 });
    for (const [cx, cy] of [[x1, y1], [x2, y2]]) put("circle", { cx, cy, r: 3, fill: colour, stroke: "#fff" });
  });
}
