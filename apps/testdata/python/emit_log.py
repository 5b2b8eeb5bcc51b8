"""The tutorial's publisher 3 to 5. python3 emit_log.py URL EXCHANGE TYPE KEY [TEXT]"""
import sys

import pika

url, exchange, exchange_type, key = sys.argv[1:5]
texts = sys.argv[5:] or ['info: Hello World!']

connection = pika.BlockingConnection(pika.URLParameters(url))
channel = connection.channel()

channel.exchange_declare(exchange=exchange, exchange_type=exchange_type)

for text in texts:
    channel.basic_publish(exchange=exchange, routing_key=key, body=text)
    print(" [x] Sent %r:%r" % (key, text))

connection.close()
