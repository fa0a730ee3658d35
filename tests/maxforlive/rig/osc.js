// OSC as Max's udpsend and udpreceive speak it: whole numbers are 32-bit ints, others 32-bit floats, symbols strings.
'use strict';

function pad(text) {
    const bytes = Buffer.from(text, 'utf8');
    return Buffer.concat([bytes, Buffer.alloc(4 - (bytes.length % 4))]);
}

function encode(address, values) {
    if (typeof address !== 'string' || address[0] !== '/') {
        throw new Error(`udpsend: not an OSC address: ${address}`);
    }
    let tags = ',';
    const parts = [];
    for (const value of values) {
        const bytes = Buffer.alloc(4);
        if (typeof value === 'string') {
            tags += 's';
            parts.push(pad(value));
        } else if (Number.isInteger(value)) {
            tags += 'i';
            bytes.writeInt32BE(value);
            parts.push(bytes);
        } else if (typeof value === 'number' && Number.isFinite(value)) {
            tags += 'f';
            bytes.writeFloatBE(value);
            parts.push(bytes);
        } else {
            throw new Error(`udpsend: no such atom: ${value} in ${address} ${values}`);
        }
    }
    const packet = Buffer.concat([pad(address), pad(tags), ...parts]);
    if (packet.length > 5096) {
        throw new Error(`udpsend: ${packet.length} bytes are over maxpacketsize`);
    }
    return {packet, tags: tags.slice(1)};
}

function decode(packet) {
    let at = 0;
    const text = () => {
        const end = packet.indexOf(0, at);
        const found = packet.toString('utf8', at, end);
        at = end + 4 - (end % 4);
        return found;
    };
    const address = text();
    const tags = text().slice(1);
    const values = [];
    for (const tag of tags) {
        if (tag === 's') {
            values.push(text());
        } else if (tag === 'i') {
            values.push(packet.readInt32BE(at));
            at += 4;
        } else if (tag === 'f') {
            values.push(packet.readFloatBE(at));
            at += 4;
        } else {
            throw new Error(`udpreceive: type ${tag} in ${address} is none that Max can take`);
        }
    }
    return [address, ...values];
}

module.exports = {encode, decode};
