// The API as openapi.json says it, without anything from elsewhere.
const element = (name, options = {}, ...children) => {
  const made = Object.assign(document.createElement(name), options);
  made.append(...children);
  return made;
};
const api = await (await fetch("/api/openapi.json")).json();
const schemas = api.components?.schemas ?? {};

function kind(schema) {
  if (!schema) return "";
  if (schema.$ref) return schema.$ref.split("/").pop();
  if (schema.anyOf) return schema.anyOf.map(kind).join(" | ");
  if (schema.type === "array") return `[${schema.prefixItems ? schema.prefixItems.map(kind).join(", ") : kind(schema.items)}, …]`;
  return schema.type ?? "";
}

function table(heads, rows) {
  const line = (cells, name) => element("tr", {}, ...cells.map(text => element(name, { textContent: text })));
  return element("table", {}, line(heads, "th"), ...rows.map(row => line(row, "td")));
}

document.getElementById("title").textContent = `${api.info.title}: API`;
const place = document.getElementById("paths");
for (const [path, methods] of Object.entries(api.paths)) {
  for (const [method, what] of Object.entries(methods)) {
    place.append(element("h2", {}, element("code", { textContent: `${method.toUpperCase()} ${path}` })));
    place.append(element("p", { textContent: what.description ?? what.summary }));
    if (what.requestBody) place.append(element("p", { textContent: `Body: ${what.requestBody.description}` }));
    const given = (what.parameters ?? []).map(each => [each.name, each.in, kind(each.schema), each.description ?? "", String(each.schema.default ?? "")]);
    if (given.length) place.append(table(["name", "in", "kind", "what", "default"], given));
    const content = Object.entries(what.responses["200"]?.content ?? what.responses["202"]?.content ?? {});
    place.append(element("p", { textContent: `Answer: ${content.map(([type, each]) => `${type} ${kind(each.schema)}`).join(", ")}` }));
    if (path === "/api/search") place.append(element("pre", { textContent: `curl --data-binary @query.jpg -H 'content-type: image/jpeg' '${location.origin}/api/search?top=5'` }));
  }
}
for (const [name, schema] of Object.entries(schemas)) {
  if (!schema.properties || name.includes("ValidationError")) continue;
  place.append(element("h2", {}, element("code", { textContent: name })), element("p", { textContent: schema.description ?? "" }));
  place.append(table(["field", "kind", "what"], Object.entries(schema.properties).map(([field, each]) => [field, kind(each), each.description ?? ""])));
}
