'use strict';
const { work } = require('./work');

exports.handler = async (event) => work(event);
exports.plain = (event) => work(event);
exports.nested = { deep: { handler: exports.handler } };
exports.callback = (event, context, callback) => {
  setTimeout(() => {
    let answer;
    try {
      answer = work(event);
    } catch (error) {
      return callback(error);
    }
    if (answer.then) return undefined; // never calls back, and something is left to wait for
    return callback(null, answer);
  }, 1);
};
exports.context = async (event, context) => ({
  state: {
    id: context.awsRequestId, name: context.functionName, version: context.functionVersion, memory: context.memoryLimitInMB,
    arn: context.invokedFunctionArn, group: context.logGroupName, stream: context.logStreamName,
    environment: { ...process.env }, directory: process.cwd(), left: context.getRemainingTimeInMillis(),
  },
});
exports.notJSON = async () => 10n;
exports.nothing = async () => {};
exports.silent = (event, context, callback) => {}; // eslint-disable-line no-unused-vars
exports.unsettled = () => new Promise(() => {});
exports.rejection = async () => {
  Promise.reject(new Error('nobody caught this'));
  await new Promise((resolve) => { setTimeout(resolve, 3600_000); });
};
exports.later = (event, context, callback) => {
  let done = false;
  setTimeout(() => { done = true; }, 30);
  const answer = {};
  Object.defineProperty(answer, 'state', { enumerable: true, get: () => ({ done: String(done) }) });
  callback(null, answer);
};
exports.sooner = (event, context, callback) => {
  context.callbackWaitsForEmptyEventLoop = false;
  setTimeout(() => {}, 3600_000);
  callback(null, { state: { done: 'false' } });
};
exports.text = (event, context) => context.succeed({ state: { by: 'succeed' } });
exports.fat = async () => {
  const kept = [];
  for (;;) kept.push(Buffer.alloc(8 << 20, 1));
};
exports.thrower = async () => {
  function deeper() {
    throw new RangeError('with a stack');
  }
  deeper();
};
exports.large = async () => 'x'.repeat(6 << 20);
