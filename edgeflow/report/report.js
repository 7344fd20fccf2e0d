"use strict";
(() => {
  const figures = JSON.parse(document.getElementById("figures").textContent);
  const places = Array.from(document.querySelectorAll(".chart"));
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const config = { displayModeBar: false, responsive: true };

  function theme(isDark) {
    const ink = isDark ? "#e6e6e6" : "#1b1b1b";
    const line = isDark ? "#454a52" : "#d5d8dc";
    return { ink, line };
  }

  function laid(layout, isDark) {
    const { ink, line } = theme(isDark);
    const axis = (given) => Object.assign(
      { gridcolor: line, linecolor: line, zerolinecolor: line, automargin: true }, given || {});
    return Object.assign(
      {
        height: 320,
        margin: { l: 48, r: 24, t: 28, b: 40 },
        paper_bgcolor: "rgba(0,0,0,0)",
        plot_bgcolor: "rgba(0,0,0,0)",
        legend: { orientation: "h", x: 0, y: 1.02, yanchor: "bottom" },
        hovermode: "closest",
      },
      layout,
      {
        font: { family: "system-ui, sans-serif", size: 13, color: ink },
        xaxis: axis(layout.xaxis),
        yaxis: axis(layout.yaxis),
      });
  }

  function draw(isDark) {
    if (typeof Plotly === "undefined") return;
    for (const place of places) {
      const figure = figures[place.id];
      const copy = JSON.parse(JSON.stringify(figure));
      Plotly.react(place, copy.data, laid(copy.layout, isDark), config);
    }
  }

  draw(dark.matches);
  dark.addEventListener("change", () => draw(dark.matches));
  let opened = [];
  window.addEventListener("beforeprint", () => {
    opened = Array.from(document.querySelectorAll("details:not([open])"));
    for (const one of opened) one.open = true;
    draw(false);
  });
  window.addEventListener("afterprint", () => {
    for (const one of opened) one.open = false;
    draw(dark.matches);
  });
})();
