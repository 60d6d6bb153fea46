// Where the labels of arrows go, so that none hides another or a node. A label has a few spots on its arrow and takes the
// first that is free; one that finds none is shown while it has the focus.

const LINE = 13; // pixels
const CHARACTER = 6.3; // pixels of a usual one; measuring text would cost a layout for each label
const UP = 10; // from the baseline of the first line to its top

/** How wide a label is. */
export const widthOf = (lines) => Math.max(...lines.map((line) => line.length)) * CHARACTER;

/** The rectangle that a label takes at a spot. */
export function rectangle({ x, y, beside }, lines) {
  const width = widthOf(lines);
  const left = beside ? x : x - width / 2;
  return { left, right: left + width, top: y - UP, bottom: y - UP + lines.length * LINE };
}

const overlap = (one, other) => one.left < other.right && other.left < one.right && one.top < other.bottom && other.top < one.bottom;

const holds = ({ left, right, top, bottom }, { x, y }) => left < x && x < right && top < y && y < bottom;

/**
 * @param {{spots: {x: number, y: number, beside?: boolean}[], lines: string[], weight: number}[]} labels
 * @param {{left: number, right: number, top: number, bottom: number}[]} taken what is drawn already
 * @param {{x: number, y: number}[]} passed points of the arrows, on which labels lie where there is no other room
 * @returns {{spot: object, free: boolean}[]} for each label its spot, and whether nothing else is there. Those with most
 *   weight choose first; labels without room have their first spot.
 */
export function arrangeLabels(labels, taken, passed = []) {
  const used = [...taken];
  const isClear = (box) => !passed.some((point) => holds(box, point));
  const found = new Array(labels.length);
  const order = labels.map((_, index) => index).sort((one, other) => labels[other].weight - labels[one].weight || one - other);
  for (const index of order) {
    const { spots, lines } = labels[index];
    const free = spots.filter((each) => !used.some((other) => overlap(rectangle(each, lines), other)));
    const spot = free.find((each) => isClear(rectangle(each, lines))) ?? free[0];
    if (spot) used.push(rectangle(spot, lines));
    found[index] = { spot: spot ?? spots[0], free: spot !== undefined };
  }
  return found;
}
