// BullMQ's worker: node bullmq_worker.mjs. Its marks are counted in memory and written 50 times a second, to a file of its
// own beside the others' (see Marks in stage.py).
import fs from "node:fs";
import { createRequire } from "node:module";

const { Worker } = createRequire(process.env.BENCH_NODE + "/")("bullmq");
const address = new URL(process.env.BENCH_URL);
const connection = { host: address.hostname, port: Number(address.port) };
const marks = new Uint8Array(fs.statSync(process.env.BENCH_MARKS).size);
const file = fs.openSync(`${process.env.BENCH_MARKS}.${process.pid}`, "w");
let written = -1;
let ran = 0;

// A hundred at once, as its documentation recommends for tasks that wait; one at a time is its default.
new Worker("mark", async (job) => { marks[job.data.number] += 1; ran += 1; return job.data.number; }, { connection, concurrency: 100 });

setInterval(() => {
  if (ran !== written) { written = ran; fs.writeSync(file, marks, 0, marks.length, 0); }
}, 20);
