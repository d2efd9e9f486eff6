// Limits a Node.js program to this machine: a connection to another host fails, and the host is
// appended to the file $REFUSED_HOSTS.
"use strict";
const fs = require("node:fs");
const net = require("node:net");

const connect = net.Socket.prototype.connect;

net.Socket.prototype.connect = function (...given) {
  const options = Array.isArray(given[0]) ? given[0] : given;
  const { path, host = "localhost" } = net._normalizeArgs(options)[0];
  if (path || /^(localhost|::1|127(\.\d+){3})$/.test(host)) {
    return connect.apply(this, given);
  }
  fs.appendFileSync(process.env.REFUSED_HOSTS, `${host}\n`);
  process.nextTick(() => this.destroy(new Error(`${host} is not on this machine`)));
  return this;
};
