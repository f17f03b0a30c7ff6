#!/usr/bin/python3
"""Signs requests with python-keystoneclient's signer: make.py > vectors.json. The secret is "not-so-secret"."""
import copy
import json

from keystoneclient.contrib.ec2 import utils

SECRET = "not-so-secret"
TIME = "2026-01-02T03:04:05Z"
PARAMS = {"Action": "DescribeInstances", "AWSAccessKeyId": "A", "b": "x y+z/~.é", "Timestamp": TIME}


def old(version, host="h:8773", **more):
    return {"access": "A", "host": host, "verb": "POST", "path": "/services/Cloud",
            "params": dict(PARAMS, SignatureVersion=version, **more), "headers": {}, "body_hash": ""}


def header(verb, host):
    return {"access": "A", "host": host, "verb": verb, "path": "/", "params": {"k": "v w"}, "body_hash": "44ce7dd6",
            "headers": {"Host": host, "X-Amz-Date": "20260102T030405Z", "X-Amz-Meta": "  m ",
                        "Authorization": "AWS4-HMAC-SHA256 Credential=A/20260102/r/ec2/aws4_request, "
                                         "SignedHeaders=host;x-amz-date;x-amz-meta, Signature=x"}}


QUERY = {"access": "A", "host": "h", "verb": "GET", "path": "/", "body_hash": "44ce7dd6", "headers": {"Host": "h"},
         "params": {"X-Amz-Algorithm": "AWS4-HMAC-SHA256", "X-Amz-Credential": "A/20260102/r/ec2/aws4_request",
                    "X-Amz-Date": "20260102T030405Z", "X-Amz-SignedHeaders": "host"}}

VECTORS = {"0": old("0"), "1": old("1"), "2": old("2", SignatureMethod="HmacSHA256"),
           "4 GET": header("GET", "h"), "4 POST": header("POST", "h:8773"), "4 query": QUERY}
for request in VECTORS.values():
    request["signature"] = utils.Ec2Signer(SECRET).generate(copy.deepcopy(request))
without_port = old("2", host="h", SignatureMethod="HmacSHA256")
without_port["signature"] = utils.Ec2Signer(SECRET).generate(copy.deepcopy(without_port))
without_port["host"] = "h:8773"
VECTORS["2 without port"] = without_port
print(json.dumps(VECTORS, indent=1))
