// Holds a Node.js program to this machine: whoever else it turns to is refused, and written down.
"use strict";
const fs = require("node:fs");
const net = require("node:net");

const connect = net.Socket.prototype.connect;

net.Socket.prototype.connect = function (...given) {
  const words = Array.isArray(given[0]) ? given[0] : given;
  const { path, host = "localhost" } = net._normalizeArgs(words)[0];
  if (path || /^(localhost|::1|127(\.\d+){3})$/.test(host)) {
    return connect.apply(this, given);
  }
  fs.appendFileSync(process.env.STRANGERS, `${host}\n`);
  process.nextTick(() => this.destroy(new Error(`${host} is not on this machine`)));
  return this;
};
