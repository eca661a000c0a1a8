// Reads CloudEvents with the official SDK for JavaScript; see README.md.
//
// cloudevents.mjs PORT SECRET
import { createServer } from 'node:http';
import { HTTP } from 'cloudevents';
import { Webhook } from 'standardwebhooks';

const [, , port, secret] = process.argv;
const ledger = [];

function read(request, body) {
  new Webhook(secret).verify(body, request.headers);
  const event = HTTP.toEvent({ headers: request.headers, body });
  event.validate();
  const { id, source, type, subject, seq, data } = event;
  ledger.push({ path: request.url.slice(1), id, source, type, subject, time: event.time, seq, data });
}

const server = createServer(async (request, response) => {
  const answer = (status, what) => {
    response.writeHead(status, { 'content-type': 'application/json' });
    response.end(JSON.stringify(what));
  };
  if (request.method === 'GET') return answer(200, ledger);
  const parts = [];
  for await (const part of request) parts.push(part);
  try {
    read(request, Buffer.concat(parts).toString('utf8'));
  } catch (failure) {
    return answer(400, { error: String(failure) });
  }
  answer(200, { received: true });
});

server.listen(Number(port), '127.0.0.1', () => console.log(`listening on ${server.address().port}`));
