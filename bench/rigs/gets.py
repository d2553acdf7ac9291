"""`python -m bench.rigs.gets BUCKET KEY BYTES COUNT`: so many ranged GETs of so many bytes, as a merge does.

Prints one line of JSON: {"processor": …}, processor seconds of all of them.
"""

import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor

from prep.cluster.place import AT_ONCE, Place


def main(bucket: str, key: str, size: int, count: int) -> None:
    """Get them."""
    place = Place(bucket, "")
    place.get_range(key, 0, size)  # which makes the client
    begun = time.process_time()
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for _ in pool.map(lambda number: place.get_range(key, number % 64 * 4096, size), range(count)):
            pass
    print(json.dumps({"processor": time.process_time() - begun}))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
