// Tells textual.js, which runs on load, where the terminal is: at the address that this page came from,
// so that a tunnel may end at any port. The token of --control stands behind "?token=" of that address.
"use strict";
const asked = new URLSearchParams(window.location.search);
const terminal = document.getElementById("terminal");
const scheme = window.location.protocol === "https:" ? "wss:" : "ws:";
terminal.dataset.sessionWebsocketUrl =
  `${scheme}//${window.location.host}/ws/${encodeURIComponent(asked.get("token") || "-")}`;
const size = Number.parseInt(asked.get("fontsize"), 10);
terminal.dataset.fontSize = String(size >= 6 && size <= 60 ? size : 16);
document.getElementById("again").addEventListener("click", () => window.location.reload());
