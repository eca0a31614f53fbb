'use strict';
// Behaves as package functiontest says; it returns a promise if it must wait for ever.
exports.work = (event) => {
  const batchItemFailures = [];
  let seen = (event.state && event.state.seen) || '';
  for (const record of event.Records) {
    const { sequenceNumber, data, partitionKey } = record.kinesis;
    seen += `${sequenceNumber}\n${data}\n${partitionKey}\n`;
    let what;
    try {
      what = JSON.parse(Buffer.from(data, 'base64').toString()).do;
    } catch {
      // no JSON
    }
    if (what === 'report') batchItemFailures.push({ itemIdentifier: sequenceNumber });
    if (what === 'throw') throw new TypeError('on purpose');
    if (what === 'exit') process.exit(3);
    if (what === 'hang') return new Promise((resolve) => { setTimeout(resolve, 3600_000); });
  }
  return event.window ? { batchItemFailures, state: { seen } } : { batchItemFailures };
};
