# A request of an application in Python, traced with aiozipkin. Its argument: where to send to.
import asyncio
import sys

import aiozipkin


async def main(address):
    endpoint = aiozipkin.create_endpoint("pricing", ipv4="127.0.0.1", port=8081)
    tracer = await aiozipkin.create(address, endpoint, sample_rate=1.0)
    with tracer.new_trace(sampled=True) as request:
        request.name("get /prices")
        request.kind(aiozipkin.SERVER)
        request.tag("http.method", "GET")
        request.tag("http.status_code", "200")
        request.annotate("prices are looked up")
        with tracer.new_child(request.context) as query:
            query.name("select prices")
            query.kind(aiozipkin.CLIENT)
            query.remote_endpoint("prices-db", ipv4="127.0.0.1", port=5432)
            query.tag("db.system", "postgresql")
            query.tag("db.statement", "SELECT * FROM prices")
            query.tag("error", "relation does not exist")
    await tracer.close()


asyncio.run(main(sys.argv[1]))
