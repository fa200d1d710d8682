// The part of check-page.sh in the browser: node check-page.mjs OUT PAGE...
import { createRequire } from "node:module";
import { readFileSync } from "node:fs";
import { basename, dirname, resolve } from "node:path";
import { pathToFileURL } from "node:url";

const need = createRequire(import.meta.url);
const puppeteer = need(process.env.PUPPETEER);
const axe = process.env.AXE ? readFileSync(`${process.env.AXE}/axe.min.js`, "utf8") : undefined;
const [out, ...pages] = process.argv.slice(2);
const problems = [];

const browser = await puppeteer.launch({
  executablePath: process.env.CHROMIUM,
  args: ["--no-sandbox", "--disable-gpu", "--hide-scrollbars"],
});

const violationsOf = async (page) => {
  await page.evaluate(axe);
  const report = await page.evaluate(() => axe.run(document, { resultTypes: ["violations"] }));
  return report.violations;
};

const check = async (target, scheme, width) => {
  const live = /^https?:/.test(target);
  const address = live ? target : pathToFileURL(resolve(target)).href;
  const own = live ? new URL(address).origin : address;
  const name = live ? "watch" : `${basename(dirname(resolve(target)))}-${basename(target, ".html")}`;
  const where = `${name}, ${scheme}, ${width}`;
  const page = await browser.newPage();
  const wrong = (text) => problems.push(`${where}: ${text}`);
  page.on("request", (request) => {
    const url = request.url();
    if (!url.startsWith("data:") && !url.startsWith(own)) wrong(`asks for ${url}`);
  });
  page.on("console", (message) => {
    if (["error", "warn"].includes(message.type())) wrong(`console: ${message.text()}`);
  });
  page.on("pageerror", (error) => wrong(`script: ${error.message}`));
  await page.setViewport({ width, height: 900, deviceScaleFactor: 1 });
  await page.emulateMediaFeatures([{ name: "prefers-color-scheme", value: scheme }]);
  const begun = Date.now();
  await page.goto(address, { waitUntil: "load" });
  await page.evaluate(() => new Promise((done) => requestAnimationFrame(() => setTimeout(done))));
  const took = Date.now() - begun;
  const found = await page.evaluate(() => ({
    wide: document.documentElement.scrollWidth - innerWidth,
    elements: document.querySelectorAll("*").length,
    charts: document.querySelectorAll("figure.chart table.values").length,
    cells: document.querySelectorAll("figure.matrix").length,
    broken: [...document.images].filter((image) => image.complete && !image.naturalWidth).length,
  }));
  if (found.wide > 0) wrong(`is ${found.wide} pixels wider than the window`);
  if (found.broken) wrong(`${found.broken} images are not shown`);
  await page.screenshot({ path: `${out}/${name}-${scheme}-${width}.png`, fullPage: true });

  if (found.charts) {
    const plot = await page.$("figure.chart:has(table.values) .plot");
    await plot.focus();
    await page.keyboard.press("ArrowLeft");
    const tip = await page.evaluate((plot) => plot.querySelector(".tip")?.textContent, plot);
    if (!tip) wrong("the arrow keys show no value");
    await plot.scrollIntoView();
    await plot.screenshot({ path: `${out}/${name}-${scheme}-${width}-value.png` });
  }
  if (found.cells) {
    const cells = await page.$("figure.matrix .cells");
    await cells.focus();
    await page.keyboard.press("ArrowDown");
    const said = await page.evaluate(() => document.querySelector("figure.matrix .readout").textContent);
    if (!said.includes("taken for")) wrong(`the arrow keys show no cell: ${said}`);
  }

  const violations = axe ? await violationsOf(page) : [];
  for (const found of violations) {
    const text = `axe: ${found.impact}: ${found.id}: ${found.nodes.length} x ${found.nodes[0].html.slice(0, 120)}`;
    if (["serious", "critical"].includes(found.impact)) wrong(text);
    else console.log(`note: ${where}: ${text}`);
  }
  if (scheme === "light" && width === 1400) {
    await page.pdf({ path: `${out}/${name}.pdf`, format: "A4", printBackground: true });
  }
  console.log(`${where}: loaded and painted in ${took} ms, ${found.elements} elements`);
  await page.close();
};

for (const target of pages) {
  for (const scheme of ["light", "dark"]) {
    for (const width of [390, 1400]) await check(target, scheme, width);
  }
}
await browser.close();
for (const problem of problems) console.error(`error: ${problem}`);
console.log(`screenshots in ${out}; ${problems.length} problems`);
process.exit(problems.length ? 1 : 0);
