// An agent is a program: it reads a prompt on stdin, works, and answers on stdout. What it writes to stderr becomes the
// invocation's log. This one needs nothing installed and no model; it shows what an agent sees.

import { readdir } from "node:fs/promises";
import { text } from "node:stream/consumers";

const prompt = (await text(process.stdin)).trim();
console.error(`starter: a prompt of ${prompt.length} characters`);

const files = await readdir("/workspace");
const words = prompt.split(/\s+/).filter(Boolean).length;

console.log(`You said: ${prompt}`);
console.log("");
console.log(`I am the starter agent. I counted ${words} ${words === 1 ? "word" : "words"}.`);
console.log(`I run on Node ${process.versions.node}, in a sandbox of my own, and see these files: ${files.join(", ")}.`);
console.log("Replace me: deploy a folder or a git repository with a castari.json.");
