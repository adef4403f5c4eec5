// Opens the status page in Chromium as a phone and as a desktop, light and dark. Saves a picture of each, and fails on
// a console message, a request to anywhere, a page wider than its window, or a finding of axe-core.
//
//   node status.mjs URL FOLDER NAME      pictures: FOLDER/status-NAME-{desktop,phone}{,-dark}.png

import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { chromium } from 'playwright-core';

const [url, folder, name] = process.argv.slice(2);
const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
    '--disable-component-update', '--disable-sync'],
});
const troubles = [];
const screens = [
  { screen: 'desktop', viewport: { width: 1280, height: 800 }, colorScheme: 'light' },
  { screen: 'phone', viewport: { width: 375, height: 812 }, colorScheme: 'light' },
  { screen: 'desktop-dark', viewport: { width: 1280, height: 800 }, colorScheme: 'dark' },
  { screen: 'phone-dark', viewport: { width: 320, height: 700 }, colorScheme: 'dark' },
];
for (const { screen, viewport, colorScheme } of screens) {
  // Without JavaScript the page must be whole; axe-core itself needs it, and comes in by the debugging door.
  const context = await browser.newContext({ viewport, colorScheme, ignoreHTTPSErrors: true });
  const page = await context.newPage();
  const say = (what) => troubles.push(`${screen}: ${what}`);
  page.on('console', (message) => say(`console: ${message.text()}`));
  page.on('pageerror', (error) => say(`error: ${error.message}`));
  page.on('requestfailed', (request) => say(`failed request: ${request.url()}`));
  page.on('request', (request) => {
    if (request.url() !== url && !request.url().startsWith('data:')) say(`request: ${request.url()}`);
  });
  const answer = await page.goto(url);
  if (answer.status() !== 200) say(`status ${answer.status()}`);
  if (await page.locator('script').count()) say('a script');
  const [wide, window] = await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
  if (wide > window) say(`${wide} pixels wide in a window of ${window}`);
  const lines = await page.locator('article').count();
  if (lines === 0) say('no line');
  await page.evaluate(axe);
  const findings = await page.evaluate(() => axe.run(document, { resultTypes: ['violations'] }));
  for (const { id, help, nodes } of findings.violations) {
    say(`${id}: ${help}: ${nodes.map((node) => node.html.slice(0, 160)).join(' | ')}`);
  }
  await page.screenshot({ path: `${folder}/status-${name}-${screen}.png`, fullPage: true });
  console.log(`${screen}: ${lines} lines, ${findings.passes.length} rules of axe-core passed`);
  await context.close();
}
await browser.close();
for (const trouble of troubles) console.error(trouble);
process.exit(troubles.length ? 1 : 0);
