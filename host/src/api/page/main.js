// Puts the parts together.

const tail = new Tail();
const follower = new Follower({
  record(record) {
    tail.record(record);
    node.advance(record.offset + record.length, record.index + 1, record.height);
    byId("behind").hidden = true;
  },
  skipped: (bytes, records, from) => tail.skipped(bytes, records, from),
  behind(records, seen) {
    byId("behind-text").textContent =
      `The node has ${counted(records, "record")}, and this page has seen ${grouped(seen)}. It may be catching up; if it is another network now, reload the page.`;
    byId("behind").hidden = false;
  },
});
const node = new NodeState({
  heard: ({ records }) => follower.notice(records),
  returned: () => follower.again(),
});
new Submitter();
new Lookup();
node.run();
follower.run();
