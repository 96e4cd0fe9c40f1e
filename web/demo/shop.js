// The shopping bag of a shop that sells nothing: it counts.
let count = 0;
const bag = document.querySelector(".bag");
document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-add]");
  if (!button || !bag) return;
  count += 1;
  bag.textContent = `${bag.dataset.label} (${count})`;
});
