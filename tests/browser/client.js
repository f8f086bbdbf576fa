// A page that calls Laurel as an app in a browser does: gRPC-Web, with the contract as its schema.
//
// The test drives it through `window.laurel`. Messages go in and out as proto3 JSON.

import { createFileRegistry, fromBinary, fromJson, toJson } from "@bufbuild/protobuf";
import { FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { createGrpcWebTransport } from "@connectrpc/connect-web";

const contract = await fetch("./contract.binpb");
const registry = createFileRegistry(
  fromBinary(FileDescriptorSetSchema, new Uint8Array(await contract.arrayBuffer())),
);
const watches = new Map();

// The method of a path such as "laurel.leaderboard.v1.LeaderboardService/GetTop", ready to call.
function prepared(gateway, path) {
  const [serviceName, methodName] = path.split("/");
  const service = registry.getService(serviceName);
  const method = service.methods.find((one) => one.name === methodName);
  const client = createClient(service, createGrpcWebTransport({ baseUrl: gateway }));
  return { method, invoke: client[method.localName] };
}

function options(token, signal) {
  return { headers: token ? { authorization: `Bearer ${token}` } : {}, signal, timeoutMs: signal ? undefined : 10_000 };
}

function answered(path, method, message) {
  const answer = toJson(method.output, message, { registry });
  show(path, answer);
  return { answer };
}

// The code and the details, each as { "@type": …, … }.
function failed(path, problem) {
  const error = ConnectError.from(problem);
  const details = error.details.map((detail) => {
    const schema = registry.getMessage(detail.type);
    return { "@type": detail.type, ...toJson(schema, fromBinary(schema, detail.value)) };
  });
  const told = { code: Code[error.code], message: error.rawMessage, details };
  show(path, told, "failed");
  return { error: told };
}

function show(path, content, kind = "") {
  const line = document.createElement("li");
  line.className = kind;
  line.append(`${path.split("/")[1]} `);
  line.append(Object.assign(document.createElement("code"), { textContent: JSON.stringify(content) }));
  document.getElementById("calls").append(line);
}

window.laurel = {
  // A unary call: { answer } or { error }.
  async call(gateway, token, path, request) {
    const { method, invoke } = prepared(gateway, path);
    try {
      const message = await invoke(fromJson(method.input, request), options(token));
      return answered(path, method, message);
    } catch (problem) {
      return failed(path, problem);
    }
  },

  // Begins a call with a stream of answers, to be read by `next` with the same name.
  watch(name, gateway, token, path, request) {
    const { method, invoke } = prepared(gateway, path);
    const stop = new AbortController();
    const answers = invoke(fromJson(method.input, request), options(token, stop.signal));
    watches.set(name, { path, method, stop, answers: answers[Symbol.asyncIterator]() });
  },

  // The next answer: { answer }, { error }, or { end: true }.
  async next(name) {
    const { path, method, answers } = watches.get(name);
    try {
      const { done, value } = await answers.next();
      return done ? { end: true } : answered(path, method, value);
    } catch (problem) {
      return failed(path, problem);
    }
  },

  stop(name) {
    watches.get(name).stop.abort();
    watches.delete(name);
  },
};
document.documentElement.dataset.ready = "true";
