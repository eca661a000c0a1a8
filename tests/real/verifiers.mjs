// One path to each official library for JavaScript; see README.md.
//
// verifiers.mjs PORT SECRET OTHER PUBLIC
import { createHash, createPublicKey } from 'node:crypto';
import { createServer } from 'node:http';
import '@shopify/shopify-api/adapters/node';
import { shopifyApi, LogSeverity } from '@shopify/shopify-api';
import bolt from '@slack/bolt';
import { createWebMiddleware, Webhooks } from '@octokit/webhooks';
import signatures from 'http-message-signatures';
import { Webhook } from 'standardwebhooks';
import Stripe from 'stripe';
import { Webhook as Svix } from 'svix';

const [, , port, secret, other, publicKey] = process.argv;
const stranger = `whsec_${Buffer.from('nobody has ever seen this secret').toString('base64')}`;
const strangersPublicKey = 'whpk_/JR3MPSesBQnpm4FBzMpTZ5SDlRceicSWngGNOCGCic=';
const ledger = [];

const need = (holds, what) => { if (!holds) throw new Error(what); };

/** RFC 9421 by a key that is found by its id; what the signature says of the body, the body has to be. */
async function verifyMessage(request, body, algorithm, keyId, key) {
  const digest = createHash('sha256').update(body).digest('base64');
  need(request.headers['content-digest'] === `sha-256=:${digest}:`, 'content-digest');
  const verify = signatures.createVerifier(key, algorithm);
  const verified = await signatures.httpbis.verifyMessage({
    keyLookup: async (parameters) => (parameters.keyid === keyId ? { id: keyId, algs: [algorithm], verify } : null),
    requiredFields: ['@method', '@authority', '@path', '@query', 'content-digest', 'webhook-id'],
    requiredParams: ['created'],
    maxAge: 300,
  }, { method: request.method, url: `http://${request.headers.host}${request.url}`, headers: request.headers });
  need(verified === true, `verified: ${verified}`);
}

const quiet = { debug() {}, info() {}, warn() {}, error() {} };

// Each throws unless the library takes the request.
const libraries = {
  standardwebhooks: (key, body, { headers }) => new Webhook(key).verify(body, headers),
  svix: (key, body, { headers }) => new Svix(key).verify(body, headers),
  stripe: (key, body, { headers }) => {
    const event = Stripe.webhooks.constructEvent(body, headers['stripe-signature'], key);
    need(event.object === 'event' && Number.isInteger(event.created) && event.id === headers['webhook-id'], 'an event');
    need(event.type && event.data.object, 'an event with data');
  },
  octokit: async (key, body, request) => {
    const webhooks = new Webhooks({ secret: key, log: quiet });
    let name;
    webhooks.onAny((event) => { name = event.name; });
    const url = `http://${request.headers.host}${request.url}`;
    const asked = new Request(url, { method: 'POST', headers: request.headers, body });
    const answer = await createWebMiddleware(webhooks, { path: new URL(url).pathname, log: quiet })(asked);
    need(answer.status === 200, await answer.text());
    need(name === 'issues', `the event is ${name}`);
  },
  shopify: async (key, body, request) => {
    const api = shopifyApi({
      apiKey: 'key', apiSecretKey: key, apiVersion: '2026-01', isEmbeddedApp: false, hostName: 'a.example',
      logger: { level: LogSeverity.Error },
    });
    const found = await api.webhooks.validate({ rawBody: body, rawRequest: request, rawResponse: {} });
    need(found.valid, JSON.stringify(found));
    need(found.topic === 'ORDERS_CREATE' && found.domain === 'acme.myshopify.com', JSON.stringify(found));
  },
  bolt: async (key, body, request) => {
    const { method, url, headers } = request;
    await bolt.HTTPModuleFunctions.parseAndVerifyHTTPRequest(
      { enabled: true, signingSecret: key, logger: quiet }, { method, url, headers, rawBody: Buffer.from(body) });
  },
  'http-hmac': (key, body, request) => verifyMessage(request, body, 'hmac-sha256', key === other ? 'new' : 'bell', key),
  'http-ed25519': (key, body, request) => {
    const given = key === secret ? publicKey : strangersPublicKey;
    const raw = Buffer.from(given.slice('whpk_'.length), 'base64');
    const der = Buffer.concat([Buffer.from('302a300506032b6570032100', 'hex'), raw]);
    return verifyMessage(request, body, 'ed25519', publicKey, createPublicKey({ key: der, format: 'der', type: 'spki' }));
  },
};

async function takes(library, key, body, request) {
  try {
    await library(key, body, request);
    return true;
  } catch (failure) {
    return String(failure);
  }
}

const server = createServer(async (request, response) => {
  const answer = (status, what) => {
    response.writeHead(status, { 'content-type': 'application/json' });
    response.end(JSON.stringify(what));
  };
  if (request.method === 'GET') return answer(200, ledger);
  const parts = [];
  for await (const part of request) parts.push(part);
  const body = Buffer.concat(parts).toString('utf8');
  const path = new URL(request.url, 'http://localhost').pathname.slice(1);
  const library = libraries[path.replace('-rotating', '')];
  const asked = { method: request.method, url: request.url, headers: request.headers };
  const entry = {
    path,
    right: await takes(library, secret, body, asked),
    other: await takes(library, other, body, asked),
    stranger: await takes(library, stranger, body, asked),
    changed: await takes(library, secret, body.replace('"open"', '"shut"'), asked),
  };
  ledger.push(entry);
  answer(entry.right === true ? 200 : 401, entry);
});

server.listen(Number(port), '127.0.0.1', () => console.log(`listening on ${server.address().port}`));
