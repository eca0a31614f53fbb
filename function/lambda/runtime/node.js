// The runtime of Node.js functions: it loads the handler and speaks the Runtime API. It needs no packages and runs from Node.js 16 on.
'use strict';
const fs = require('fs');
const http = require('http');
const path = require('path');
const { pathToFileURL } = require('url');

const env = process.env;
const [host, port] = env.AWS_LAMBDA_RUNTIME_API.split(':');
const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
let current = null; // the id of the event in work
let loaded = false;
let failing = false;

function request(method, route, body, by = agent) {
  return new Promise((resolve, reject) => {
    const headers = body === undefined ? {} : { 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(body) };
    const req = http.request({ host, port, method, path: '/2018-06-01/runtime/' + route, agent: by, headers }, (res) => {
      const parts = [];
      res.on('data', (part) => parts.push(part));
      res.on('error', reject);
      res.on('end', () => resolve({ status: res.statusCode, headers: res.headers, text: Buffer.concat(parts).toString() }));
    });
    req.on('error', reject);
    req.end(body);
  });
}

function report(error) {
  const known = error instanceof Error;
  const stack = known && error.stack ? String(error.stack).split('\n').slice(1).map((line) => line.trim()) : [];
  return JSON.stringify({
    errorType: known ? error.name : typeof error,
    errorMessage: known ? error.message : String(error),
    stackTrace: stack,
  });
}

function named(name, message) {
  const error = new Error(message);
  error.name = name;
  return error;
}

// fail reports what nobody caught and ends the process: nothing is known about its state any more.
async function fail(error, status) {
  if (failing) return;
  failing = true;
  console.error(error);
  try { // over a connection of its own: the other one may wait for an event
    if (current !== null) await request('POST', `invocation/${current}/error`, report(error), new http.Agent());
    else if (!loaded) await request('POST', 'init/error', report(error), new http.Agent());
  } finally {
    process.exit(status);
  }
}

async function module_(file) {
  for (const suffix of ['', '.js', '.mjs', '.cjs']) {
    const name = file + suffix;
    if (!fs.existsSync(name) || !fs.statSync(name).isFile()) continue;
    if (suffix === '.mjs') return import(pathToFileURL(name).href);
    try {
      return require(name);
    } catch (error) {
      if (error.code !== 'ERR_REQUIRE_ESM' && error.code !== 'ERR_REQUIRE_ASYNC_MODULE') throw error;
      return import(pathToFileURL(name).href);
    }
  }
  throw named('Runtime.ImportModuleError', `Cannot find module '${path.relative(env.LAMBDA_TASK_ROOT, file)}'`);
}

async function load() {
  const handler = env._HANDLER;
  const slash = handler.lastIndexOf('/') + 1;
  const dot = handler.indexOf('.', slash);
  if (dot < 0) throw named('Runtime.MalformedHandlerName', `Bad handler '${handler}'`);
  let value = await module_(path.resolve(env.LAMBDA_TASK_ROOT, handler.slice(0, dot)));
  if (value && value[handler.slice(dot + 1).split('.')[0]] === undefined && value.default) value = value.default;
  let owner;
  for (const name of handler.slice(dot + 1).split('.')) {
    owner = value;
    value = value === undefined || value === null ? undefined : value[name];
  }
  if (typeof value !== 'function') throw named('Runtime.HandlerNotFound', `${handler} is undefined or not a function`);
  return { call: (...args) => value.apply(owner, args), takesCallback: value.length >= 3 };
}

// settle calls the handler once. It resolves with what the handler answered: by its return, its promise, or its callback.
function settle(handler, event, context) {
  return new Promise((resolve, reject) => {
    let promised = false;
    const idle = () => (promised
      ? reject(named('Runtime.NodeJsExit', 'the handler returned a promise that nothing can settle any more'))
      : resolve(undefined));
    process.once('beforeExit', idle);
    const end = (how, value) => {
      process.removeListener('beforeExit', idle);
      how(value);
    };
    const callback = (error, value) => {
      const finish = () => (error === undefined || error === null ? end(resolve, value) : end(reject, error));
      if (!context.callbackWaitsForEmptyEventLoop) return finish();
      process.removeListener('beforeExit', idle);
      process.once('beforeExit', finish);
    };
    context.done = callback;
    context.succeed = (value) => { context.callbackWaitsForEmptyEventLoop = false; callback(null, value); };
    context.fail = (error) => { context.callbackWaitsForEmptyEventLoop = false; callback(error === undefined || error === null ? new Error('handled') : error); };
    let value;
    try {
      value = handler.call(event, context, callback);
    } catch (error) {
      return end(reject, error);
    }
    promised = value !== undefined && value !== null && typeof value.then === 'function';
    if (promised) {
      value.then((answer) => end(resolve, answer), (error) => end(reject, error));
    } else if (!handler.takesCallback && value !== undefined) {
      end(resolve, value);
    }
  });
}

function contextOf(headers) {
  const deadline = Number(headers['lambda-runtime-deadline-ms']);
  return {
    callbackWaitsForEmptyEventLoop: true,
    awsRequestId: headers['lambda-runtime-aws-request-id'],
    invokedFunctionArn: headers['lambda-runtime-invoked-function-arn'],
    functionName: env.AWS_LAMBDA_FUNCTION_NAME,
    functionVersion: env.AWS_LAMBDA_FUNCTION_VERSION,
    memoryLimitInMB: env.AWS_LAMBDA_FUNCTION_MEMORY_SIZE,
    logGroupName: env.AWS_LAMBDA_LOG_GROUP_NAME,
    logStreamName: env.AWS_LAMBDA_LOG_STREAM_NAME,
    getRemainingTimeInMillis: () => deadline - Date.now(),
  };
}

async function once(handler) {
  current = null;
  const next = await request('GET', 'invocation/next');
  if (next.status !== 200) throw new Error(`next: status ${next.status}`);
  current = next.headers['lambda-runtime-aws-request-id'];
  env._X_AMZN_TRACE_ID = next.headers['lambda-runtime-trace-id'];
  let route = 'response';
  let body;
  try {
    const answer = await settle(handler, JSON.parse(next.text), contextOf(next.headers));
    body = answer === undefined ? 'null' : JSON.stringify(answer);
    if (body === undefined) throw named('Runtime.MarshalError', 'the answer of the handler cannot be JSON');
  } catch (error) {
    console.error(error);
    route = 'error';
    body = report(error);
  }
  await request('POST', `invocation/${current}/${route}`, body);
}

process.on('uncaughtException', (error) => { fail(error, 129); });
process.on('unhandledRejection', (reason) => {
  const error = reason instanceof Error ? reason : new Error(String(reason));
  fail(named('Runtime.UnhandledPromiseRejection', error.message), 128);
});

(async () => {
  let handler;
  try {
    handler = await load();
  } catch (error) {
    return fail(error, 1);
  }
  loaded = true;
  try {
    for (;;) await once(handler);
  } catch (error) { // the Runtime API is gone, and with it the reason to live
    if (!failing) process.exit(1);
  }
})();
