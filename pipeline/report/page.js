"use strict";
Bokeh.set_log_level("warn");
const items = JSON.parse(document.getElementById("chart-items").textContent);
Promise.all(items.map((item) => Bokeh.embed.embed_item(item))).then(() => {
  document.body.dataset.charts = String(items.length);
});
