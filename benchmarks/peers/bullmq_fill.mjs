// Fill BullMQ's queue with empty tasks: node bullmq_fill.mjs NUMBER.
import { createRequire } from "node:module";

const { Queue } = createRequire(process.env.BENCH_NODE + "/")("bullmq");
const address = new URL(process.env.BENCH_URL);
const queue = new Queue("mark", { connection: { host: address.hostname, port: Number(address.port) } });
const number = Number(process.argv[2]);
for (let at = 0; at < number; at += 1000) {
  const part = Array.from({ length: Math.min(1000, number - at) }, (_, one) => ({ name: "mark", data: { number: at + one } }));
  await queue.addBulk(part);
}
await queue.close();
