// What the page says, in English and Chinese.
const WORDS = {
  en: {
    title: "Photo search", again: "Look for new photos", drop: "Drop a photo here",
    choose: "or choose one, or paste it", hint: "Drag a box over what is meant.",
    whole: "Search the whole photo", other: "Another photo", query: "Your photo",
    stage: "Your photo. Enter begins a box, arrows move it, with Shift they size it, Enter searches, Escape takes it away.",
    browse: "Photos of this folder", more: "Show more", like: "More like this", previous: "← Previous",
    next: "Next →", close: "Close", lines: "Show matched points", groups: "Groups of the same",
    same: "this is it", perhaps: "perhaps", not: "not here", unknown: "",
    headSame: "This is it", headPerhaps: "Perhaps", headNot: "Not here, it seems", headUnknown: "The nearest photos",
    headNothing: "Nothing in this photo can be recognised. Is it of one colour?",
    nearest: "Nearest of {count} photos.", searching: "Searching…", turning: "Looking at it turned as well…",
    inliers: "{count} matching points", votes: "{count} votes", open: "{name}: see the matching points",
    matchTold: "{inliers} of {matches} matches agree. The box is where it was found.",
    matchNone: "No points agree on one place: the photos only look alike.",
    looking: "Looking at the folder…", fitting: "Getting to know your photos: {done} of {total}",
    describing: "Describing photos: {done} of {total}, {left} left. {searchable} can be searched.",
    describingFirst: "Describing photos: {done} of {total}. {searchable} can be searched.",
    ready: "Photos that can be searched: {searchable}.", trouble: "That did not work: {why}",
    failed: "Photos that could not be described: {count}", seconds: "{count} s", minutes: "{count} min", hours: "{count} h",
    tooLarge: "The file has {size} MB; at most {most} MB are taken.", noPhoto: "This is no photo.",
    lost: "The server does not answer. Is it still running?", wait: "Ready as soon as the first photos are described.",
    "same file": "the same file", "near-duplicate": "nearly the same photo", "same building": "the same thing",
    compare: "Compare all photos", compareHint: "Each photo is compared with all others; that takes a while.",
    comparing: "Comparing photos: {done} of {total}", noGroups: "No two photos show the same thing.",
    countGroups: "Groups: {count}.",
  },
  zh: {
    title: "照片搜索", again: "查找新照片", drop: "把照片拖到这里", choose: "或选择文件，或粘贴",
    hint: "拖动鼠标框出要找的部分。", whole: "搜索整张照片", other: "换一张照片", query: "您的照片",
    stage: "您的照片。按回车开始画框，方向键移动，按住 Shift 调整大小，再按回车搜索，Esc 取消。",
    browse: "此文件夹中的照片", more: "显示更多", like: "更多类似照片", previous: "← 上一张", next: "下一张 →",
    close: "关闭", lines: "显示匹配点", groups: "相同照片分组",
    same: "就是它", perhaps: "也许是", not: "不在这里", unknown: "",
    headSame: "就是它", headPerhaps: "也许是", headNot: "看来不在这里", headUnknown: "最接近的照片",
    headNothing: "这张照片里没有可识别的内容。是纯色照片吗？",
    nearest: "{count} 张照片中最接近的。", searching: "正在搜索…", turning: "正在尝试旋转后的照片…",
    inliers: "{count} 个匹配点", votes: "{count} 票", open: "{name}：查看匹配点",
    matchTold: "{matches} 个匹配中有 {inliers} 个一致。方框是找到的位置。",
    matchNone: "没有位置一致的匹配点：两张照片只是看起来相似。",
    looking: "正在查看文件夹…", fitting: "正在了解您的照片：{done} / {total}",
    describing: "正在描述照片：{done} / {total}，还需 {left}。现在可搜索 {searchable} 张。",
    describingFirst: "正在描述照片：{done} / {total}。现在可搜索 {searchable} 张。",
    ready: "可搜索 {searchable} 张照片。", trouble: "操作失败：{why}",
    failed: "{count} 张照片无法描述", seconds: "{count} 秒", minutes: "{count} 分钟", hours: "{count} 小时",
    tooLarge: "文件有 {size} MB，最多接受 {most} MB。", noPhoto: "这不是照片。",
    lost: "服务器没有响应。它还在运行吗？", wait: "首批照片描述完成后即可搜索。",
    "same file": "同一文件", "near-duplicate": "几乎相同的照片", "same building": "同一事物",
    compare: "比较所有照片", compareHint: "每张照片都会与其他照片比较，需要一些时间。",
    comparing: "正在比较照片：{done} / {total}", noGroups: "没有两张照片拍的是同一事物。",
    countGroups: "共 {count} 组。",
  },
};

let language = kept() || (navigator.language.toLowerCase().startsWith("zh") ? "zh" : "en");

function kept() {
  try { return WORDS[localStorage.getItem("language")] ? localStorage.getItem("language") : null; } catch { return null; }
}

export function word(name, values = {}) {
  const text = WORDS[language][name] ?? name;
  return text.replace(/\{(\w+)\}/g, (_, key) => String(values[key] ?? ""));
}

export function switchLanguage() {
  language = language === "zh" ? "en" : "zh";
  try { localStorage.setItem("language", language); } catch { /* it lasts as long as the page */ }
  writeWords();
}

export function writeWords() {
  document.documentElement.lang = language === "zh" ? "zh-CN" : "en";
  document.title = word("title");
  for (const place of document.querySelectorAll("[data-word]")) place.textContent = word(place.dataset.word);
  for (const place of document.querySelectorAll("[data-label]")) place.setAttribute("aria-label", word(place.dataset.label));
  const other = document.getElementById("language");
  other.textContent = language === "zh" ? "English" : "中文";
  other.lang = language === "zh" ? "en" : "zh";
}

export function duration(seconds) {
  if (seconds < 90) return word("seconds", { count: Math.round(seconds) });
  if (seconds < 5400) return word("minutes", { count: Math.round(seconds / 60) });
  return word("hours", { count: (seconds / 3600).toFixed(1) });
}
