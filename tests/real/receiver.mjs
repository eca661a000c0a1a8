// Webhook receivers as Express tutorials write them, one to a path; see README.md for the table.
//
// receiver.mjs PORT SECRET
import { createHash, createHmac, timingSafeEqual } from 'node:crypto';
import express from 'express';
import { Webhook } from 'standardwebhooks';
import { verify } from '@octokit/webhooks-methods';

const [, , port, secret] = process.argv;
// What Standard Webhooks calls a secret is base64; any other string stands for its own bytes.
const standard = secret.startsWith('whsec_') ? secret : Buffer.from(secret).toString('base64');

const app = express();
const ledger = [];
const refused = {};

const digest = (message, encoding = 'hex') =>
  createHmac('sha256', secret).update(message).digest(encoding);

// Without a word about lengths it throws, and so answers 500, when the other one is shorter or longer.
const same = (ours, theirs) => timingSafeEqual(Buffer.from(ours), Buffer.from(theirs));

function accept(request, response) {
  const body = Buffer.isBuffer(request.body) ? request.body : request.raw;
  const event = JSON.parse(body);
  ledger.push({
    path: request.path.slice(1),
    id: request.get('webhook-id'),
    type: event.type,
    key: event.key,
    sha256: createHash('sha256').update(body).digest('hex'),
  });
  response.status(200).json({ received: true });
}

app.use((request, response, next) => {
  response.on('finish', () => {
    if (request.method === 'POST' && response.statusCode >= 400) {
      const path = request.path.slice(1);
      refused[path] = (refused[path] ?? 0) + 1;
    }
  });
  next();
});

const bytes = express.raw({ type: 'application/json', limit: '5mb' });
const keepBytes = express.json({ limit: '5mb', verify: (request, _, raw) => { request.raw = raw; } });

app.post('/plain-hex', bytes, (request, response) => {
  if (!same(digest(request.body), request.get('X-Webhook-Signature') ?? '')) {
    return response.status(401).json({ error: 'invalid signature' });
  }
  accept(request, response);
});

app.post('/agent-hex', keepBytes, (request, response) => {
  const theirs = request.get('X-Agent-Signature');
  if (!theirs) return response.status(400).send('signature missing');
  if (digest(request.raw) !== theirs) return response.status(403).send('signature mismatch');
  accept(request, response);
});

app.post('/platform', bytes, (request, response) => {
  const ours = `sha256=${digest(request.body)}`;
  const theirs = request.header('X-MyPlatform-Signature') || '';
  if (ours.length !== theirs.length || !same(ours, theirs)) return response.sendStatus(403);
  accept(request, response);
});

app.post('/base64', bytes, (request, response) => {
  if (request.get('X-Body-Hmac') !== digest(request.body, 'base64')) return response.sendStatus(401);
  accept(request, response);
});

app.post('/timestamped', bytes, (request, response) => {
  const sent = request.get('X-Timestamp');
  if (!(Math.abs(Date.now() / 1000 - Number(sent)) <= 300)) return response.status(400).send('too old');
  if (digest(`${sent}.${request.body}`) !== request.get('X-Signature')) return response.sendStatus(401);
  accept(request, response);
});

app.post('/hub', keepBytes, (request, response) => {
  const ours = Buffer.from(`sha256=${createHmac('sha256', secret).update(request.raw).digest('hex')}`, 'ascii');
  const theirs = Buffer.from(request.headers['x-hub-signature-256'] ?? '', 'ascii');
  if (ours.length !== theirs.length || !timingSafeEqual(ours, theirs)) {
    return response.status(401).send('Unauthorized');
  }
  accept(request, response);
});

app.post('/split', bytes, (request, response) => {
  // Throws without the header, and so answers 500.
  const [algorithm, theirs] = request.headers['x-hub-signature-256'].split('=');
  if (!same(createHmac(algorithm, secret).update(request.body).digest('hex'), theirs)) {
    return response.sendStatus(401);
  }
  accept(request, response);
});

app.post('/redump', keepBytes, (request, response) => {
  // Signs what it parsed, not what it got. It works as long as the sender is compact, keeps its order and writes UTF-8.
  const ours = `sha256=${digest(JSON.stringify(request.body))}`;
  if (ours !== request.get('X-Hub-Signature-256')) return response.sendStatus(401);
  accept(request, response);
});

app.post('/library', express.text({ type: '*/*', limit: '5mb' }), async (request, response) => {
  request.raw = request.body;
  if (!(await verify(secret, request.body, request.headers['x-hub-signature-256']))) {
    return response.status(401).send('Unauthorized');
  }
  accept(request, response);
});

app.post('/standard', bytes, (request, response) => {
  try {
    new Webhook(standard).verify(request.body, request.headers);
  } catch (error) {
    return response.status(400).json({ error: error.message });
  }
  accept(request, response);
});

app.get('/hits', (_, response) => {
  const hits = {};
  for (const { path } of ledger) hits[path] = (hits[path] ?? 0) + 1;
  response.json(hits);
});
app.get('/refused', (_, response) => response.json(refused));
app.get('/ledger', (_, response) => response.json(ledger));

// What a handler throws becomes a 500, without its trace on the terminal.
app.use((error, _request, response, _next) => response.status(500).send(error.message));

const server = app.listen(Number(port), '127.0.0.1', () => console.log(`listening on ${server.address().port}`));
