import { createRequire } from 'node:module';

const { work } = createRequire(import.meta.url)('./work.js');
await Promise.resolve();

export const handler = async (event) => work(event);
