// The socket is where the page came from, under whatever name and port that was.
const socket = new URL("ws", document.baseURI);
socket.protocol = socket.protocol.replace("http", "ws");
document.getElementById("terminal").dataset.sessionWebsocketUrl = socket.href;
document.getElementById("again").addEventListener("click", () => window.location.reload());
// Keys go to the explorer from the start; the terminal is there when the page has loaded.
window.addEventListener("load", () => document.querySelector(".xterm-helper-textarea")?.focus());
