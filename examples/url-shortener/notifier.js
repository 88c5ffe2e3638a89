const { subscribe } = await import(`./topics/${process.env.TOPIC ?? "redis"}.js`);

await subscribe("url-events", (message) => {
  const { type, id, url } = JSON.parse(message);
  console.log(`${id} was ${type}: ${url}`);
});
console.log("subscribed");
