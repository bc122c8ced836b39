# SPDX-License-Identifier: GPL-2.0
"""How the page of a report looks, and what its keys and filters do: nothing is loaded from elsewhere."""

STYLE = """
body { font: 14px/1.45 sans-serif; margin: 1.5em; color: #222; background: #fff }
table { border-collapse: collapse; margin: .5em 0 }
td, th { border: 1px solid #bbb; padding: .15em .5em; text-align: left; vertical-align: top }
#matrix thead th { position: sticky; top: 0; background: #fff }
#matrix td a { color: inherit; display: block; text-decoration: none }
#matrix td a:hover { text-decoration: underline }
a:focus-visible, summary:focus-visible, input:focus-visible, select:focus-visible
  { outline: 3px solid #1b6ca8; outline-offset: 1px }
.pass { background: #cfc; fill: #5b5 } .fail { background: #f99; fill: #d33 }
.skip, .none { background: #eee; fill: #bbb } .flaky { background: #fd8; fill: #da0 }
.lost { background: #fca; fill: #e80 }
pre { background: #f6f6f6; padding: .5em; overflow-x: auto; white-space: pre-wrap; overflow-wrap: anywhere }
code { overflow-wrap: anywhere; user-select: all }
section.cell { border-top: 1px solid #bbb; margin-top: 1em }
section.cell:target { border-left: 4px solid #1b6ca8; padding-left: .6em }
nav a, .filter label { margin-right: 1em }
figure { margin: 1em 0; max-width: 900px; padding: .2em } figure svg { width: 100%; height: auto }
svg.strip { height: 12px; vertical-align: middle } figure svg.key { width: 30px; height: 8px }
svg text { font: 11px sans-serif; fill: #222 }
.grid { stroke: #ddd } .line { fill: none; stroke-width: 1.8; stroke-linecap: round }
.away { display: none }
@media print {
  body { margin: 0; font-size: 10px } nav, .filter, .skipto, .back { display: none }
  #matrix thead th { position: static } tr, figure { break-inside: avoid } a { color: inherit }
  td, svg rect { -webkit-print-color-adjust: exact; print-color-adjust: exact }
}
"""

# Arrows move between the cells of the matrix, Escape goes back there, / goes to the filter. A row or a
# cell's section that no checked verdict or the chosen topic has is away.
SCRIPT = """
const $$ = (words, from) => [...(from || document).querySelectorAll(words)];
const boxes = $$('.filter input'), topic = document.querySelector('.filter select');
function filter() {
  const on = new Set(boxes.filter(b => b.checked).map(b => b.value));
  for (const one of $$('[data-verdicts]')) {
    const has = one.dataset.verdicts.split(' ').some(v => on.has(v));
    one.classList.toggle('away', !has || (topic.value && one.dataset.topic !== topic.value));
  }
  const rows = $$('#matrix tbody tr'), shown = rows.filter(r => !r.classList.contains('away')).length;
  document.getElementById('shown').textContent = shown + ' of ' + rows.length + ' steps';
}
boxes.concat(topic).forEach(one => one.addEventListener('change', filter));
document.addEventListener('keydown', event => {
  if (event.target.matches('input, select')) return;
  const here = document.activeElement, cell = here && here.closest('#matrix td');
  if (event.key === '/') { boxes[0].focus(); event.preventDefault(); }
  if (event.key === 'Escape' && location.hash) {
    const link = document.querySelector('#matrix a[href="' + location.hash + '"]');
    if (link) { link.focus(); link.scrollIntoView({block: 'center'}); }
  }
  const move = {ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1]}[event.key];
  if (!cell || !move) return;
  const rows = $$('#matrix tbody tr').filter(r => !r.classList.contains('away'));
  const row = rows[rows.indexOf(cell.parentElement) + move[0]];
  const next = row && row.cells[cell.cellIndex + move[1]];
  const link = next && next.querySelector('a');
  if (link) { link.focus(); event.preventDefault(); }
});
let closed = [];
addEventListener('beforeprint', () => {
  closed = $$('details:not([open])'); closed.forEach(one => { one.open = true; });
});
addEventListener('afterprint', () => closed.forEach(one => { one.open = false; }));
filter();
"""
