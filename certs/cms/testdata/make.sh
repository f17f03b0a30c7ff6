#!/bin/sh
# Makes the vectors in this folder anew, with the openssl command: one key and self-signed certificate for each kind of key,
# one message for each digest and a few contents. What is committed is what OpenSSL 3.0 made.
set -eu
cd "$(dirname "$0")"
rm -f ./*.pem ./*.der
subject='/C=US/O=Unset/CN=cms test signer'
openssl req -x509 -newkey rsa:2048 -nodes -keyout rsa.key.pem -out rsa.cert.pem -subj "$subject" -days 36500 2>/dev/null
for bits in 256 384; do
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-$bits -nodes \
		-keyout p$bits.key.pem -out p$bits.cert.pem -subj "$subject" -days 36500 2>/dev/null
done
sign() { openssl cms -sign -signer "$1.cert.pem" -inkey "$1.key.pem" -outform DER -nosmimecap -nodetach -nocerts -noattr -md "$2" -out "$3"; }
for key in rsa p256 p384; do
	for md in sha1 sha256 sha384 sha512; do
		printf '{"token":{"key":"%s","digest":"%s"}}' $key $md | sign $key $md $key-$md.der
	done
done
printf '' | sign rsa sha256 empty.der
# one content for each width of the length octets
for n in 100 200 5000 70000; do
	awk -v n=$n 'BEGIN { for (i = 0; i < n; i++) printf "x" }' | sign rsa sha256 content-$n.der
done
# what openssl makes of other options, and what must be refused
content='{"token":{}}'
printf '%s' "$content" | openssl cms -sign -signer rsa.cert.pem -inkey rsa.key.pem -outform DER -nodetach -out refused-attributes.der
printf '%s' "$content" | openssl cms -sign -signer rsa.cert.pem -inkey rsa.key.pem -outform DER -nosmimecap -nodetach -noattr -out refused-certificate.der
printf '%s' "$content" | openssl cms -sign -signer rsa.cert.pem -inkey rsa.key.pem -outform DER -nosmimecap -nocerts -noattr -out refused-detached.der
printf '%s' "$content" | openssl cms -sign -signer rsa.cert.pem -inkey rsa.key.pem -outform DER -nosmimecap -nodetach -nocerts -noattr -keyid -out refused-keyid.der
printf '%s' "$content" | openssl cms -sign -signer rsa.cert.pem -inkey rsa.key.pem -outform DER -nosmimecap -nodetach -nocerts -noattr -stream -indef -out refused-indefinite.der
printf '%s' "$content" | openssl cms -sign -signer rsa.cert.pem -inkey rsa.key.pem -outform DER -nosmimecap -nodetach -nocerts -noattr -md md5 -out refused-md5.der
printf '%s' "$content" | openssl cms -sign -signer rsa.cert.pem -inkey rsa.key.pem -outform DER -nosmimecap -nodetach -nocerts -noattr -md sha224 -out refused-sha224.der
printf '%s' "$content" | openssl cms -sign -signer rsa.cert.pem -inkey rsa.key.pem -outform DER -nosmimecap -nodetach -nocerts -noattr -keyopt rsa_padding_mode:pss -out refused-pss.der
printf '%s' "$content" | openssl cms -sign -signer rsa.cert.pem -inkey rsa.key.pem -signer p256.cert.pem -inkey p256.key.pem -outform DER -nosmimecap -nodetach -nocerts -noattr -out refused-two-signers.der
printf '%s' "$content" | openssl cms -digest_create -outform DER -out refused-digested.der
printf '%s' "$content" | openssl cms -data_create -outform DER -out refused-data.der
