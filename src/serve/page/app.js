// The page: what is asked, what is found, why it matches. Names of files are only ever text.
import { duration, switchLanguage, word, writeWords } from "/words.js";
import { drawLines, drawnBox } from "/picture.js";

const at = id => document.getElementById(id);
const TOP = 24;
const KINDS = { "the same": "same", perhaps: "perhaps", "not here": "not", unknown: "unknown" };
let state = null;
let asked = null; // { blob } or { photo }, and the size of it, once that is known
let found = null; // the last answer
let opened = -1; // which hit is open
let match = null;
let underWay = null;
let comparing = false; // until the groups are there
let watching = 0;

const element = (name, options = {}, ...children) => {
  const made = Object.assign(document.createElement(name), options);
  made.append(...children);
  return made;
};
const pictureOf = (photo, side) => `/api/photos/${encodeURIComponent(photo)}/picture?side=${side}`;
const say = text => { at("message").textContent = text; };

async function answer(address, options) {
  let response;
  try { response = await fetch(address, options); }
  catch (error) { if (error.name === "AbortError") throw error; throw new Error(word("lost")); }
  if (response.ok) return response;
  let told = response.statusText;
  try { told = (await response.json()).error; } catch { /* no JSON */ }
  throw new Error(told);
}

// -- what is asked --------------------------------------------------------------------------------

const box = drawnBox(at("stage"), at("box"), () => search());

async function take(blob) {
  if (state && blob.size > state.most_bytes) {
    const size = (blob.size / 2 ** 20).toFixed(1);
    say(word("tooLarge", { size, most: Math.floor(state.most_bytes / 2 ** 20) }));
    return;
  }
  ask({ blob }, URL.createObjectURL(blob));
}

function ask(what, address) {
  if (at("photo").src.startsWith("blob:")) URL.revokeObjectURL(at("photo").src);
  asked = { ...what, size: null };
  box.clear();
  say("");
  at("drop").hidden = true;
  at("query").hidden = false;
  at("photo").src = address;
  search();
}

// A browser that cannot show a photo (HEIC, TIFF) shows what the server makes of it.
at("photo").addEventListener("error", async () => {
  if (!asked || !asked.blob || asked.shown) return;
  const mine = asked;
  mine.shown = true;
  try {
    const response = await answer("/api/preview", { method: "POST", body: mine.blob, headers: kindOf(mine.blob) });
    const blob = await response.blob();
    if (asked === mine) at("photo").src = URL.createObjectURL(blob);
  } catch { /* the search says why */ }
});

const kindOf = blob => ({ "content-type": blob.type.startsWith("image/") ? blob.type : "application/octet-stream" });

async function search() {
  if (underWay) underWay.abort();
  const mine = underWay = new AbortController();
  const ours = asked;
  const query = new URLSearchParams({ top: TOP, stream: "true" });
  if (box.box) {
    const size = ours.size || { width: at("photo").naturalWidth, height: at("photo").naturalHeight };
    const sides = [size.width, size.height, size.width, size.height];
    query.set("box", box.box.map((share, i) => Math.round(share * sides[i])).join(","));
  }
  say("");
  at("found").hidden = false;
  at("verdict").textContent = state && !state.searchable ? word("wait") : word("searching");
  at("verdict").className = "";
  at("caption").textContent = "";
  at("hits").classList.add("working");
  const options = { method: "POST", signal: mine.signal };
  if (ours.blob) Object.assign(options, { body: ours.blob, headers: kindOf(ours.blob) });
  const address = ours.blob ? "/api/search" : `/api/photos/${encodeURIComponent(ours.photo)}/search`;
  try {
    for await (const line of lines(await answer(`${address}?${query}`, options))) {
      if (mine !== underWay) return;
      if (line.error) throw new Error(line.error);
      if (line.size) ours.size = line.size;
      show(line);
    }
  } catch (error) {
    if (error.name === "AbortError" || mine !== underWay) return;
    at("found").hidden = true;
    at("hits").replaceChildren();
    say(error.message);
  } finally {
    if (mine === underWay) at("hits").classList.remove("working");
  }
}

async function* lines(response) {
  const reader = response.body.getReader();
  const decoder = new TextDecoder();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    rest += decoder.decode(value || new Uint8Array(), { stream: !done });
    const parts = rest.split("\n");
    rest = parts.pop();
    for (const part of parts) yield JSON.parse(part);
    if (done) return;
  }
}

// -- what is found --------------------------------------------------------------------------------

const percent = share => `${Math.min(Math.max(Math.round(100 * share), 1), 99)} %`;

function show(answered) {
  found = answered;
  const kinds = new Set(answered.hits.map(hit => KINDS[hit.verdict] || "unknown"));
  const kind = ["same", "perhaps", "not", "unknown"].find(each => kinds.has(each)) || "nothing";
  at("verdict").textContent = word({ same: "headSame", perhaps: "headPerhaps", not: "headNot", unknown: "headUnknown", nothing: "headNothing" }[kind]);
  at("verdict").className = kind;
  at("caption").textContent = !answered.final ? word("turning")
    : answered.hits.length && state ? word("nearest", { count: state.searchable }) : "";
  at("hits").replaceChildren(...answered.hits.map(card));
}

function told(hit) {
  const kind = KINDS[hit.verdict] || "unknown";
  const says = [word(kind), hit.confidence === null ? "" : percent(hit.confidence)].filter(Boolean).join(" · ");
  return { kind, says, points: `${word("inliers", { count: hit.inliers })} · ${word("votes", { count: Math.round(hit.votes) })}` };
}

function card(hit, number) {
  const { kind, says, points } = told(hit);
  const image = element("img", { src: pictureOf(hit.photo, 320), alt: "", loading: "lazy" });
  const text = element("span", { className: "told" },
    element("span", { className: `word ${kind}`, textContent: says }),
    element("small", { textContent: points }), element("small", { textContent: hit.name }));
  const open = element("button", { type: "button", className: "hit" }, image, text);
  open.setAttribute("aria-label", `${hit.rank}. ${says} ${word("open", { name: hit.name })}`);
  open.addEventListener("click", () => openHit(number));
  const like = element("button", { type: "button", className: "like", textContent: word("like") });
  like.addEventListener("click", () => moreLike(hit.photo));
  return element("li", { className: `card ${kind}-card` }, open, like);
}

function moreLike(photo) {
  at("match").close();
  ask({ photo }, pictureOf(photo, 1280));
  scrollTo({ top: 0 });
}

at("hits").addEventListener("keydown", event => {
  const all = [...at("hits").querySelectorAll(".hit")];
  const here = all.indexOf(document.activeElement);
  if (here < 0) return;
  const columns = getComputedStyle(at("hits")).gridTemplateColumns.split(" ").length;
  const step = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns }[event.key];
  const next = step && all[here + step];
  if (!next) return;
  event.preventDefault();
  next.focus();
});

// -- why it matches -------------------------------------------------------------------------------

async function openHit(number) {
  if (!found || !found.final || !found.hits[number]) return;
  opened = number;
  match = null;
  const hit = found.hits[number], from = found;
  const { says, kind } = told(hit);
  at("match-title").textContent = `${hit.rank}. ${says}`;
  at("match-title").className = kind;
  at("match-name").textContent = hit.name;
  at("match-told").textContent = "";
  at("lines").replaceChildren();
  at("previous").disabled = number === 0;
  at("next").disabled = number === found.hits.length - 1;
  at("match-query").src = `/api/searches/${found.search}/query`;
  at("match-photo").src = pictureOf(hit.photo, 1280);
  if (!at("match").open) at("match").showModal();
  try {
    const response = await answer(`/api/searches/${found.search}/matches/${encodeURIComponent(hit.photo)}`);
    const got = await response.json();
    await Promise.all([at("match-query"), at("match-photo")].map(image => image.decode().catch(() => {})));
    if (from !== found || number !== opened) return;
    match = got;
    at("match-told").textContent = got.inliers.length ? word("matchTold", { inliers: got.inliers.length, matches: got.matches }) : word("matchNone");
    redraw();
  } catch (error) { at("match-told").textContent = error.message; }
}

function redraw() {
  if (match) drawLines(at("lines"), at("pair"), at("match-query"), at("match-photo"), match, at("show-lines").checked);
}

new ResizeObserver(redraw).observe(at("pair"));
at("show-lines").addEventListener("change", redraw);
at("close").addEventListener("click", () => at("match").close());
at("previous").addEventListener("click", () => openHit(opened - 1));
at("next").addEventListener("click", () => openHit(opened + 1));
at("like").addEventListener("click", () => moreLike(found.hits[opened].photo));
at("match").addEventListener("keydown", event => {
  if (event.key === "ArrowLeft" && opened > 0) openHit(opened - 1);
  else if (event.key === "ArrowRight" && opened < found.hits.length - 1) openHit(opened + 1);
});
at("match").addEventListener("close", () => {
  const hit = at("hits").querySelectorAll(".hit")[opened];
  if (hit) hit.focus();
});

// -- the folder -----------------------------------------------------------------------------------

function small(photo, ...words) {
  const image = element("img", { src: pictureOf(photo.photo, 320), alt: "", loading: "lazy" });
  const lines = words.map(text => element("small", { textContent: text }));
  const open = element("button", { type: "button" }, image, element("span", { className: "told" }, photo.name, ...lines));
  open.addEventListener("click", () => moreLike(photo.photo));
  return element("li", { className: "card" }, open);
}

async function browse() {
  const first = at("photos").childElementCount;
  const { count, photos } = await (await answer(`/api/photos?first=${first}&count=60`)).json();
  at("photos").append(...photos.map(photo => small(photo)));
  at("more").hidden = first + photos.length >= count;
}

at("browse").addEventListener("toggle", () => {
  at("photos").replaceChildren();
  if (at("browse").open) browse().catch(error => say(error.message));
});
at("more").addEventListener("click", () => browse().catch(error => say(error.message)));

async function group() {
  const { ready, groups } = await (await answer("/api/duplicates")).json();
  at("compare").hidden = ready;
  at("groups-told").textContent = !ready ? word("compareHint") : groups.length ? word("countGroups", { count: groups.length }) : word("noGroups");
  at("group-list").replaceChildren(...groups.map(members => element("ul", { className: "grid group" },
    ...members.map(each => small(each, `${word(each.kind)}: ${each.like}`)))));
}

at("groups").addEventListener("toggle", () => { if (at("groups").open) group().catch(error => say(error.message)); });
at("compare").addEventListener("click", async () => {
  try {
    state = await (await answer("/api/duplicates", { method: "POST" })).json();
    at("compare").hidden = true;
    comparing = true;
    watch();
  } catch (error) { say(error.message); }
});

function tell() {
  const { what, done, total, seconds_left: left, searchable, trouble, failed } = state;
  at("folder").textContent = state.folder;
  const values = { done, total, searchable, left: left === null ? "" : duration(left), why: trouble };
  at("state").textContent = what === "describing" ? word(left === null ? "describingFirst" : "describing", values)
    : what.startsWith("comparing") ? word("comparing", values)
    : what.startsWith("fitting") ? word("fitting", values)
    : what ? word("looking") : word(trouble ? "trouble" : "ready", values);
  at("progress").hidden = !what;
  if (what && total) { at("progress").max = total; at("progress").value = done; }
  else at("progress").removeAttribute("value");
  at("again").disabled = Boolean(what);
  at("failed").hidden = !failed.length;
  at("failed").querySelector("summary").textContent = word("failed", { count: failed.length });
  at("failed").querySelector("ul").replaceChildren(
    ...failed.map(each => element("li", { textContent: `${each.name}: ${each.reason}` })));
}

async function watch() {
  clearTimeout(watching);
  try {
    state = await (await answer("/api/state")).json();
    tell();
    if (comparing && !state.what) {
      comparing = false;
      await group();
    }
  } catch (error) { at("state").textContent = error.message; }
  watching = setTimeout(watch, document.hidden || (state && !state.what && !comparing) ? 5000 : 700);
}

at("again").addEventListener("click", async () => {
  try {
    await answer("/api/update", { method: "POST" });
    watch();
  } catch (error) { say(error.message); }
});

// -- dropping, choosing, pasting ------------------------------------------------------------------

const fileOf = data => [...data.files][0] || null;
at("drop").addEventListener("click", () => at("file").click());
at("other").addEventListener("click", () => at("file").click());
at("whole").addEventListener("click", () => { box.clear(); search(); });
at("file").addEventListener("change", () => { if (at("file").files[0]) take(at("file").files[0]); at("file").value = ""; });
addEventListener("paste", event => { const file = fileOf(event.clipboardData); if (file) take(file); });
addEventListener("dragover", event => { event.preventDefault(); document.body.classList.add("over"); });
addEventListener("dragleave", event => { if (!event.relatedTarget) document.body.classList.remove("over"); });
addEventListener("drop", event => {
  event.preventDefault();
  document.body.classList.remove("over");
  const file = fileOf(event.dataTransfer);
  if (file) take(file); else say(word("noPhoto"));
});
at("language").addEventListener("click", () => { switchLanguage(); if (state) tell(); if (found && !at("found").hidden) show(found); });

writeWords();
watch();
