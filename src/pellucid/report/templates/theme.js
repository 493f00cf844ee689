(function () {
  var root = document.documentElement, button = document.querySelector("button.theme"), order = ["auto", "light", "dark"];
  function show(name) {
    if (name === "auto") root.removeAttribute("data-theme"); else root.setAttribute("data-theme", name);
    button.textContent = "Theme: " + name;
  }
  var now = root.getAttribute("data-theme") || "auto";
  try { now = localStorage.getItem("pellucid-theme") || now; } catch (e) { /* storage may be closed to local files */ }
  if (order.indexOf(now) < 0) now = "auto";
  button.hidden = false;
  show(now);
  button.addEventListener("click", function () {
    now = order[(order.indexOf(now) + 1) % order.length];
    show(now);
    try { localStorage.setItem("pellucid-theme", now); } catch (e) { /* the choice then lasts for this visit */ }
  });
})();
