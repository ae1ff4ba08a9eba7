const WIDTH = 760;
const HEIGHT = 360;
const MARGIN = { left: 64, right: 230, top: 44, bottom: 56 };
/** Distinct in grey and to colour-blind readers too: each line has a dash of its own. */
const STYLES = [
  ['#0072b2', ''],
  ['#d55e00', '6 3'],
  ['#009e73', '2 3'],
  ['#cc79a7', '10 4'],
  ['#56b4e9', '6 3 2 3'],
  ['#7f7f7f', '4 4'],
];

/**
 * A chart of lines as SVG, both axes logarithmic.
 * @param {{ title: string, xLabel: string, yLabel: string, lines: Record<string, { x: number, y: number }[]> }} chart
 */
export function plot({ title, xLabel, yLabel, lines }) {
  const all = Object.values(lines).flat();
  const x = axis(
    all.map((point) => point.x),
    MARGIN.left,
    WIDTH - MARGIN.right,
  );
  const y = axis(
    all.map((point) => point.y),
    HEIGHT - MARGIN.bottom,
    MARGIN.top,
  );
  const bottom = HEIGHT - MARGIN.bottom;
  const right = WIDTH - MARGIN.right;
  const points = [...new Set(all.map((point) => point.x))].sort((a, b) => a - b);
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" font-family="sans-serif" font-size="12">`,
    `<rect width="${WIDTH}" height="${HEIGHT}" fill="#fff"/>`,
    text(MARGIN.left, 24, title, 'font-size="15"'),
    ...y
      .ticks()
      .flatMap((value) => [
        `<path d="M${MARGIN.left} ${y(value)}H${right}" stroke="#ddd"/>`,
        text(MARGIN.left - 8, y(value) + 4, short(value), 'text-anchor="end"'),
      ]),
    ...points.map((value) => text(x(value), bottom + 18, short(value), 'text-anchor="middle"')),
    `<path d="M${MARGIN.left} ${MARGIN.top}V${bottom}H${right}" fill="none" stroke="#333"/>`,
    text((MARGIN.left + right) / 2, HEIGHT - 14, xLabel, 'text-anchor="middle"'),
    text(
      16,
      (MARGIN.top + bottom) / 2,
      yLabel,
      `text-anchor="middle" transform="rotate(-90 16 ${(MARGIN.top + bottom) / 2})"`,
    ),
    ...Object.entries(lines).flatMap(([name, line], i) => {
      const [colour, dash] = STYLES[i % STYLES.length];
      const path = line
        .map((point, j) => `${j === 0 ? 'M' : 'L'}${round(x(point.x))} ${round(y(point.y))}`)
        .join('');
      const stroke = `fill="none" stroke="${colour}" stroke-width="2" stroke-dasharray="${dash}"`;
      const row = MARGIN.top + 12 + i * 20;
      return [
        `<path d="${path}" ${stroke}/>`,
        `<path d="M${right + 16} ${row}h28" ${stroke}/>`,
        text(right + 50, row + 4, name),
      ];
    }),
    '</svg>',
    '',
  ].join('\n');
}

function axis(values, from, to) {
  const [low, high] = [Math.log2(Math.min(...values)), Math.log2(Math.max(...values))];
  const scale = (value) => round(from + ((Math.log2(value) - low) / (high - low || 1)) * (to - from));
  scale.ticks = () => {
    const ticks = [];
    for (let power = Math.ceil(low); power <= high; power++) ticks.push(2 ** power);
    return ticks;
  };
  return scale;
}

const text = (x, y, content, more = '') => `<text x="${x}" y="${y}" ${more}>${escape(content)}</text>`;

const escape = (content) => content.replace(/[&<>]/g, (sign) => `&#${sign.charCodeAt(0)};`);
const round = (value) => Math.round(value * 10) / 10;
const short = (value) => round(value).toLocaleString('en');
