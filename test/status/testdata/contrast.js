// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

// The texts whose contrast with what is behind them is below that of WCAG 2.2, level AA.
(() => {
  const parse = color => color.match(/[\d.]+/g).map(Number);
  const luminance = color => {
    const [r, g, b] = parse(color).slice(0, 3).map(v => {
      v /= 255;
      return v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = element => {
    for (; element; element = element.parentElement) {
      const color = getComputedStyle(element).backgroundColor;
      const alpha = parse(color)[3];
      if (alpha === undefined || alpha > 0) return color;
    }
    return "rgb(255, 255, 255)";
  };
  const pale = new Set();
  let texts = 0;
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const text = walker.currentNode.textContent.trim();
    const element = walker.currentNode.parentElement;
    if (!text || ["title", "option"].includes(element.tagName.toLowerCase()) || !element.checkVisibility()) continue;
    texts++;
    const style = getComputedStyle(element);
    const [light, dark] = [luminance(style.color), luminance(behind(element))].sort((a, b) => b - a);
    const contrast = (light + 0.05) / (dark + 0.05);
    const size = parseFloat(style.fontSize);
    const large = size >= 24 || size >= 18.66 && style.fontWeight >= 700;
    if (contrast < (large ? 3 : 4.5)) pale.add(`${text.slice(0, 40)}: ${contrast.toFixed(2)}, ${style.color} on ${behind(element)}`);
  }
  if (texts < 20) pale.add(`only ${texts} texts were found`);
  return [...pale];
})()
