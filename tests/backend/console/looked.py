"""What can be told of a page by looking at it: the contrast of its texts, and texts that are cut off."""

from dataclasses import dataclass

from tests.backend.console.browser import Browser

_TEXTS = """
    const texts = [];
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    for (let node = walker.nextNode(); node; node = walker.nextNode()) {
        const parent = node.parentElement;
        if (!node.data.trim() || parent.closest('title, script, noscript, option, .hidden, .skip')) continue;
        if (!parent.checkVisibility({ opacityProperty: true, visibilityProperty: true })) continue;
        const range = document.createRange();
        range.selectNodeContents(node);
        const box = range.getBoundingClientRect();
        if (box.width && box.height) texts.push({ text: node.data.trim(), parent, box });
    }
"""
_CONTRAST = (
    _TEXTS
    + """
    const paper = Object.assign(document.createElement('canvas'), { width: 1, height: 1 });
    const pen = paper.getContext('2d', { willReadFrequently: true });
    const parse = (color) => {
        pen.clearRect(0, 0, 1, 1);
        pen.fillStyle = color;
        pen.fillRect(0, 0, 1, 1);
        const [red, green, blue, alpha] = pen.getImageData(0, 0, 1, 1).data;
        return { channels: [red, green, blue], alpha: alpha / 255 };
    };
    const over = ({ channels, alpha }, ground) => channels.map((one, at) => one * alpha + ground[at] * (1 - alpha));
    // A text of the map stands on the box of its node, all else on what the elements around it are filled with.
    const fillOf = (element) => {
        const box = element.matches('.node') ? element.querySelector('rect:not(.behind)') : null;
        return parse(box ? getComputedStyle(box).fill : getComputedStyle(element).backgroundColor);
    };
    const groundOf = (element) => {
        const layers = [];
        for (let each = element; each; each = each.parentElement) layers.unshift(fillOf(each));
        return layers.reduce((ground, layer) => over(layer, ground), [255, 255, 255]);
    };
    const opacityOf = (element) => {
        let opacity = 1;
        for (let each = element; each; each = each.parentElement) opacity *= Number(getComputedStyle(each).opacity);
        return opacity;
    };
    const linear = (channel) => (channel <= 10.314 ? channel / 255 / 12.92 : ((channel / 255 + 0.055) / 1.055) ** 2.4);
    const luminance = (channels) => {
        const [red, green, blue] = channels.map(linear);
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
    };
    const contrast = (element, color) => {
        const ground = groundOf(element);
        const written = parse(color);
        const ink = over({ ...written, alpha: written.alpha * opacityOf(element) }, ground);
        const [dark, light] = [luminance(ink), luminance(ground)].sort((one, other) => one - other);
        return (light + 0.05) / (dark + 0.05);
    };
    const found = texts.filter(({ parent }) => !parent.closest(':disabled')).map(({ text, parent }) => {
        const style = getComputedStyle(parent);
        return [text, contrast(parent, parent instanceof SVGElement ? style.fill : style.color)];
    });
    for (const field of document.querySelectorAll('[placeholder]')) {
        const { color } = getComputedStyle(field, '::placeholder');
        if (field.checkVisibility()) found.push([field.placeholder, contrast(field, color)]);
    }
    for (const field of document.querySelectorAll('input:not([type=radio], [type=checkbox]), select, textarea')) {
        const { color } = getComputedStyle(field);
        if (field.checkVisibility()) found.push([field.id || field.name, contrast(field, color)]);
    }
    return found;
"""
)
_CUT = (
    _TEXTS
    + """
    const cut = (text, parent, box) => {
        for (let each = parent; each && each !== document.body; each = each.parentElement) {
            const { overflowX, textOverflow } = getComputedStyle(each);
            if (overflowX === 'visible' || each instanceof SVGElement) continue;
            const { left, right } = each.getBoundingClientRect();
            const inside = box.left >= left - 1 && box.right <= right + 1;
            if (overflowX === 'auto' || overflowX === 'scroll') {
                if (!inside) return false; // it can be scrolled to
            } else if (!inside) {
                const told = [each, ...each.querySelectorAll('[title]')].some(({ title }) => title?.includes(text));
                if (textOverflow !== 'ellipsis' || !told) return true;
                box = { left: Math.max(box.left, left), right: Math.min(box.right, right) };
            }
        }
        return false;
    };
    return texts.filter(({ text, parent, box }) => cut(text, parent, box)).map(({ text }) => text);
"""
)


@dataclass(frozen=True)
class Written:
    """A text on a page."""

    text: str
    contrast: float
    """Its ratio to the ground it stands on, from 1 to 21, as WCAG 2.2 defines it."""


def contrasts(browser: Browser) -> list[Written]:
    """Each text that is seen, and each that a field has or would have, but for those of what is disabled."""
    return [Written(*each) for each in browser.run(_CONTRAST)]


def cut_off(browser: Browser) -> list[str]:
    """Texts of which a part is not seen, cannot be scrolled to, and is not told by a title."""
    found: list[str] = browser.run(_CUT)
    return found
