/** Serves on a free port and says which one. */
exports.listen = function listen(server) {
  // Longer than any pause between two slices of load: the connections are to stay.
  server.keepAliveTimeout = 300_000;
  server.listen(0, "127.0.0.1", () => console.log(`listening ${server.address().port}`));
};
