"""Changes to the tensors of a net, a dict of arrays by name, that are to be refused."""


def without(name):
    return lambda tensors: tensors.pop(name)


def changed(name, change):
    def apply(tensors):
        tensors[name] = change(tensors[name])

    return apply


def filled(value):
    """For `changed`: another value at the end."""

    def change(array):
        array.flat[-1] = value
        return array

    return change
