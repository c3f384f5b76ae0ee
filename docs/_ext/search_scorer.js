// Which results of the search come first: pages whose title has the words that were asked for, and
// pages that explain before lists of names and figures.
const _asked = (new URLSearchParams(window.location.search).get("q") || "")
  .toLowerCase()
  .split(/\s+/)
  .filter((word) => word);

// "alarms" finds "alarm", "explain" finds "Explaining"
const _stem = (word) => word.replace(/(s|es|ing|ed)$/, "");

var Scorer = {
  score: ([docname, title, anchor, descr, score]) => {
    const words = title.toLowerCase();
    const named = _asked.length > 0 && _asked.every((word) => words.includes(_stem(word)));
    const list = /^(api|benchmarks|changelog|glossary|genindex|py-modindex|contributing|generated\/)/;
    return score + (named ? 20 : 0) + (descr ? -5 : 0) - (list.test(docname) ? 20 : 0);
  },
  objNameMatch: 11,
  objPartialMatch: 6,
  objPrio: { 0: 15, 1: 5, 2: -5 },
  objPrioDefault: 0,
  title: 15,
  partialTitle: 7,
  term: 5,
  partialTerm: 2,
};
