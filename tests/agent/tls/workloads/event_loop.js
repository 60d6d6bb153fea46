// HTTP over TLS in Node.js: a server and its clients in one event loop.
//
// Arguments: certificate, key, clients, exchanges of each. Prints one JSON object: the clients' ports.
'use strict';
const https = require('https');
const fs = require('fs');

const [certificate, key] = process.argv.slice(2, 4);
const [clients, exchanges] = process.argv.slice(4, 6).map(Number);
const options = { cert: fs.readFileSync(certificate), key: fs.readFileSync(key) };
const ports = [];

const server = https.createServer(options, (request, response) => response.end('hello'));

function ask(name, exchange, agent, done) {
  const path = `/client/${name}/${exchange}`;
  const port = server.address().port;
  const request = https.get({ host: '127.0.0.1', port, path, agent, rejectUnauthorized: false }, (response) => {
    if (exchange === 0) ports.push(request.socket.localPort);
    response.resume();
    response.on('end', () => {
      if (exchange + 1 < exchanges) setImmediate(ask, name, exchange + 1, agent, done);
      else { agent.destroy(); done(); }
    });
  });
}

server.listen(0, '127.0.0.1', () => {
  let left = clients;
  for (let name = 0; name < clients; name++) {
    ask(name, 0, new https.Agent({ keepAlive: true, maxSockets: 1 }), () => {
      left--;
      if (left === 0) server.close(() => console.log(JSON.stringify({ ports })));
    });
  }
});
